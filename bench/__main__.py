"""`python -m bench`: Baton beside bare Celery on this machine, alternating in one run; a table for docs/benchmarks.md.

python -m bench                    all figures, 5 rounds, writes docs/benchmarks.md
python -m bench --only throughput --rounds 3 --chains 200 --no-write
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from bench import measures, report, servers
from bench.crew import Crew, bare_argv, baton_argv
from bench.measures import MEASURES, Figures, Stand


def main() -> int:
    """Run what was asked for; 0 when it came to an end, whatever the figures say."""
    asked = _parse()
    folder = Path(tempfile.mkdtemp(prefix="baton-bench-", dir=asked.dir))
    events, level = not asked.no_events, asked.log_level
    running = servers.start(folder / "data", task_events=events, log_level=level)
    crews = []
    try:
        postgres, ours, theirs = running.postgres_pid, running.redis_pid, running.bare_redis_pid
        crews.append(Crew("bare", bare_argv(asked.threads, events, level), asked.workers, [theirs], folder))
        crews.append(Crew("baton", baton_argv(asked.threads), asked.workers, [postgres, ours], folder))
        figures: Figures = measures.run(Stand(running, *crews), asked.only or MEASURES, asked.rounds, asked.chains)
    finally:
        for crew in crews:
            crew.stop()
        servers.stop(running)
        if not asked.keep:
            shutil.rmtree(folder, ignore_errors=True)
    text = report.write(figures, asked)
    print(text)
    if not (asked.no_write or asked.only):
        report.keep(text)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Ratios against bare Celery chains.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measure (5)")
    parser.add_argument("--chains", type=int, default=500, help="chains in flight (500)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of each contestant (2)")
    parser.add_argument("--threads", type=int, default=8, help="threads of each worker process (8)")
    parser.add_argument("--only", nargs="+", choices=MEASURES, help="these measures alone; docs stay as they are")
    parser.add_argument("--log-level", default="WARNING", help="of both contestants' workers (WARNING)")
    parser.add_argument("--no-events", action="store_true", help="no Celery task events, on either side")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    parser.add_argument("--dir", help="where the servers' temporary folder lies (a disk, not memory)")
    parser.add_argument("--keep", action="store_true", help="keep that folder, with the workers' logs")
    return parser.parse_args()


raise SystemExit(main())
