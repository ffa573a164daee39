"""`python -m evals [SUITE ...]`: the labelled sets, run and shown as tables. Without a name: all that are there.

A suite is a module of this folder with `run() -> rows`, each row a mapping of columns. `--lines` shows what went wrong,
where the suite has a `wrong() -> lines`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def suites() -> list[str]:
    """The names of all suites."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows under their columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([str(row.get(name, "")) for name in columns] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def main(arguments: Sequence[str]) -> int:
    """Run the named suites. 2: a name is no suite."""
    names = [one for one in arguments if one != "--lines"] or suites()
    if unknown := [name for name in names if name not in suites()]:
        print(f"no such suite: {', '.join(unknown)}; there are: {', '.join(suites())}", file=sys.stderr)
        return 2
    for name in names:
        module = importlib.import_module(f"evals.{name}")
        print(f"{name}\n{table(module.run())}\n")
        if "--lines" in arguments and hasattr(module, "wrong"):
            print("\n".join(module.wrong()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
