"""`python -m bench`: Baton beside bare Celery, DBOS and LangGraph on this machine, by turns; writes docs/benchmarks.md.

python -m bench                    all figures, 5 rounds, writes docs/benchmarks.md and its chart
python -m bench --only throughput --rounds 3 --chains 200 --no-write
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import commands, measures, report, servers
from bench.contestants import Bare, Baton, Peer
from bench.crew import Crew
from bench.measures import MEASURES
from bench.stand import Stand


def main() -> int:
    """Run what was asked for; 0 when it came to an end, whatever the figures say."""
    asked = _parse()
    with_peers = "throughput" in asked.only and commands.install_peers()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="baton-bench-", dir=asked.dir))
        if not asked.keep:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        figures = measures.run(_stand(asked, folder, with_peers, stack), asked.only, asked.rounds)
    text = report.page(figures, asked)
    print(text)
    if not asked.no_write and set(asked.only) == set(MEASURES):
        report.keep(text, figures)
    return 0


def _stand(asked: argparse.Namespace, folder: Path, with_peers: bool, stack: ExitStack) -> Stand:
    """Start servers and contestants; the stack stops them."""
    events, level = not asked.no_events, asked.log_level
    running = servers.start(folder / "data", task_events=events, log_level=level)
    stack.callback(servers.stop, running)

    def crew(name: str, pids: list[int], started: list[list[str]], *, told: bool = False) -> Crew:
        hired = Crew(name, pids)
        stack.callback(hired.stop)
        hired.start(started, folder, asked=told)
        return hired

    size = (asked.workers, asked.threads)
    bare = crew("bare", [running.bare_redis_pid], commands.bare(*size, events, level))
    baton = crew("baton", [running.postgres_pid, running.redis_pid], commands.baton(*size))
    peers = []
    for name in commands.PEERS if with_peers else ():
        url = servers.database_of(running, name)
        peers.append(Peer(crew(name, [running.postgres_pid], commands.peer(name, url, *size), told=True)))
    return Stand(
        running,
        Bare(bare, running.bare_redis_url),
        Baton(baton, running.redis_url, running.keeper_url),
        peers,
        asked.chains,
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description="Ratios against bare Celery, DBOS and LangGraph.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measure (5)")
    parser.add_argument("--chains", type=int, default=500, help="chains in flight (500)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of each contestant (2)")
    parser.add_argument("--threads", type=int, default=8, help="threads of each worker process (8)")
    parser.add_argument("--only", nargs="+", choices=tuple(MEASURES), default=tuple(MEASURES), metavar="MEASURE",
                        help=f"these measures alone, and the docs stay as they are: {', '.join(MEASURES)}")  # fmt: skip
    parser.add_argument("--log-level", default="WARNING", help="of the Celery workers (WARNING)")
    parser.add_argument("--no-events", action="store_true", help="no Celery task events, on either side")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    parser.add_argument("--dir", help="where the servers' temporary folder lies (a disk, not memory)")
    parser.add_argument("--keep", action="store_true", help="keep that folder, with the workers' logs")
    return parser.parse_args()


raise SystemExit(main())
