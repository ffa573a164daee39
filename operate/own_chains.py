"""Loads the package that BATON_CHAINS names, as every process will: `up` refuses to start what could not run."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from settings import settings


def complaint() -> str | None:
    """What is wrong with the package, in one line; None: all its chains and nodes are there."""
    from agents.registry import nodes
    from chains.catalog import missing_nodes

    package = settings().chains
    try:
        missing = missing_nodes(nodes())
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        own = [one for one in frames if package.partition(".")[0] in Path(one.filename).parts]
        where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
        said = " ".join(str(error).split())
        return f"BATON_CHAINS: the package {package!r} cannot be loaded: {type(error).__name__}: {said}{where}"
    if missing:
        named = "; ".join(f"{node} (in {', '.join(chains)})" for node, chains in sorted(missing.items()))
        return f"BATON_CHAINS: chains name nodes that nobody has: {named}"
    return None


def main() -> int:
    """Exit code 3: the package is wrong, and the reason stands on stderr."""
    wrong = complaint()
    if wrong:
        print(f"error: {wrong}", file=sys.stderr)
    return 3 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
