"""`make chaos`: `python -m chaos [--runs N] [--seed S] [--modes M ...]`; exit code 1 on any violation.

Modes: fast (sticky hops and group commit on), sticky and group (one of them), plain (neither). The first one asked for
gets all the runs, each further one a tenth of them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.campaign import MODES, Plan, run


def main() -> int:
    """Run the campaigns and print their counts."""
    asked = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    asked.add_argument("--runs", type=int, default=10_000, help="probe runs (default 10000)")
    asked.add_argument("--seed", type=int, default=1, help="the same seed draws the same load and faults")
    asked.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all four, fast first")
    asked.add_argument("--minutes", type=float, help="end the load by then")
    asked.add_argument("--per-second", type=float, default=12.0, help="runs submitted a second (default 12)")
    asked.add_argument("--keep", type=Path, help="use and keep data dirs in this folder (logs, database)")
    told = asked.parse_args()
    violations = 0
    for number, mode in enumerate(told.modes):
        runs = told.runs if number == 0 else max(1, told.runs // 10)
        plan = Plan(runs=runs, seed=told.seed, per_second=told.per_second, minutes=told.minutes, mode=mode)
        violations += _campaign(plan, told.keep)
    return 1 if violations else 0


def _campaign(plan: Plan, keep: Path | None) -> int:
    """One campaign; how many violations it found."""
    folder = keep / plan.mode if keep else Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    begun = time.monotonic()
    report = run(plan, folder, lambda text: print(text, flush=True))
    took = time.monotonic() - begun
    print(f"\nmode {plan.mode}, {plan.runs} runs, seed {plan.seed}, {took:.0f} s\n{report.text()}\n", flush=True)
    if report.count:
        print(f"the data dir is kept: {folder}")
    elif not keep:
        shutil.rmtree(folder, ignore_errors=True)
    return report.count


if __name__ == "__main__":
    sys.exit(main())
