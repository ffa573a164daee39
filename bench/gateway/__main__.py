"""`python -m bench.gateway`: the model gateway under faults, and beside LiteLLM; writes docs/gateway-benchmarks.md.

python -m bench.gateway                                        everything
python -m bench.gateway --only overhead --rounds 3             one measure; the page stays as it is
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import servers
from bench.figures import Figures

NAMES = ("faults", "death", "overhead", "caches")


def main() -> int:
    """Take the measures that were asked for; 0 when they came to an end, whatever the figures say."""
    asked = _parse()
    figures = Figures()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="baton-bench-", dir=asked.dir))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        running = servers.start(folder / "data", task_events=False, log_level="ERROR")
        stack.callback(servers.stop, running)
        from bench.gateway import page  # Baton reads its settings from here on
        from bench.gateway.measures import MEASURES

        for name in asked.only:
            print(f"{name}:", file=sys.stderr, flush=True)
            MEASURES[name](figures, running.owner_url, asked.rounds)
        text = page.page(figures, asked.rounds)
    print(text)
    if not asked.no_write and set(asked.only) == set(NAMES):
        page.keep(text)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench.gateway", description="The model gateway under faults and beside LiteLLM.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the overhead (5)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="MEASURE",
                        help=f"these measures alone, and the page stays as it is: {', '.join(NAMES)}")  # fmt: skip
    parser.add_argument("--no-write", action="store_true", help="leave docs/gateway-benchmarks.md as it is")
    parser.add_argument("--dir", help="where the servers' temporary folder lies (a disk, not memory)")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
