"""What every process of a peer does: it is told in JSON lines how many chains to run, runs them, and says when.

    {"chains": 250}     -> {"began": Unix time of the first start, "ended": of the last chain's end}

The first line that it writes, `"ready"`, comes by itself.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def serve(run_chain: Callable[[], object], threads: int) -> None:
    """Do what the lines of stdin say, so many chains at a time."""
    pool = ThreadPoolExecutor(threads)
    _say("ready")
    for line in sys.stdin:
        began = time.time()
        for chain in [pool.submit(run_chain) for _ in range(json.loads(line)["chains"])]:
            chain.result()
        _say({"began": began, "ended": time.time()})


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)
