"""`make chaos`: `python -m chaos [--runs N] [--seed S] [--minutes M]`; exit code 1 on any violation."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from chaos.campaign import Plan, run


def main() -> int:
    """Run a campaign and print its counts."""
    asked = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    asked.add_argument("--runs", type=int, default=10_000, help="probe runs (default 10000)")
    asked.add_argument("--seed", type=int, default=1, help="the same seed draws the same load and faults")
    asked.add_argument("--minutes", type=float, help="end the load by then")
    asked.add_argument("--per-second", type=float, default=12.0, help="runs submitted a second (default 12)")
    asked.add_argument("--keep", type=Path, help="use and keep this data dir (logs, database)")
    told = asked.parse_args()
    folder = told.keep or Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    plan = Plan(runs=told.runs, seed=told.seed, per_second=told.per_second, minutes=told.minutes)
    begun = time.monotonic()
    report = run(plan, folder, lambda text: print(text, flush=True))
    print(f"\nseed {told.seed}, {time.monotonic() - begun:.0f} s\n{report.text()}")
    if report.count:
        print(f"the data dir is kept: {folder}")
    elif not told.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if report.count else 0


if __name__ == "__main__":
    sys.exit(main())
