"""`python -m evals [SUITE ...]`: the labelled sets, run and shown as tables. Without a name: all that are there.

A suite is a module of this folder with `run() -> rows`, each row a mapping of columns. `--lines` shows what went wrong,
where the suite has a `wrong() -> lines`. `--model NAME` asks a backend of the models file too, in the suites whose
`run` takes a `model`. Where a suite has a `below(rows) -> reasons` and there are any, the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from settings import SettingsError

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
    """Run the named suites. 1: a suite is below its thresholds; 2: a name is no suite, or the model is none."""
    parser = argparse.ArgumentParser(prog="python -m evals", description="The labelled sets, as tables.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"one of {', '.join(suites())}; default: all")
    parser.add_argument("--lines", action="store_true", help="show what went wrong, of the sets that are tuned on")
    parser.add_argument("--model", metavar="NAME", help="ask this backend of the models file too")
    given = parser.parse_args(arguments)
    names, bad = given.suites or suites(), False
    if unknown := [name for name in names if name not in suites()]:
        print(f"no such suite: {', '.join(unknown)}; there are: {', '.join(suites())}", file=sys.stderr)
        return 2
    for name in names:
        module = importlib.import_module(f"evals.{name}")
        takes_model = given.model and "model" in inspect.signature(module.run).parameters
        try:
            rows = module.run(model=given.model) if takes_model else module.run()
        except SettingsError as wrong:
            print(f"error: {wrong}", file=sys.stderr)
            return 2
        print(f"{name}\n{table(rows)}\n")
        reasons = module.below(rows) if hasattr(module, "below") else []
        print("".join(f"{reason}\n" for reason in reasons), end="")
        bad = bad or bool(reasons)
        if given.lines and hasattr(module, "wrong"):
            print("\n".join(module.wrong()))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
