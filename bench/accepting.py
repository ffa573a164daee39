"""From POST /api/v1/runs to its 202, over HTTP, at 200 posts a second while 500 chains are in flight.

The posts come from a process of its own, at a steady rate whatever the answers do. They ask for a run of one node, so
that the workers can do all of them beside the load.
"""

from __future__ import annotations

import sys

from bench.asking import helper
from bench.contestants import to_the_end
from bench.figures import spread
from bench.load import Input, load
from bench.runs import turn
from bench.stand import Stand
from bench.web import web

POSTED = {"chain": "probe", "input": {"steps": 1}}
POSTS_A_SECOND, SECONDS = 200, 10
WARM_UP = {"rate": 50, "seconds": 1}
LOAD: Input = {"steps": 64}


def accepting(stand: Stand, number: int) -> dict[str, float]:
    """How long clients wait for their 202; every run that was accepted has ended when this returns."""
    from storage import tenants

    key = tenants.create_api_key(tenants.ensure_default_tenant(), "bench")
    with web(stand.servers.folder) as (address, _), helper("bench.posts", address, key) as ask, turn(stand.baton):
        with load(stand.baton, [LOAD] * stand.chains):
            ask(body=POSTED, **WARM_UP)
            answers = ask(body=POSTED, rate=POSTS_A_SECOND, seconds=SECONDS)
        to_the_end(stand.baton, answers["runs"])
    for said, times in answers["said"].items():
        print(f"accepting: {times} posts were answered {said}", file=sys.stderr, flush=True)
    return {
        **spread("accepting", answers["ms"]),
        "accepting_refused": answers["refused"],
        "accepting_commit_ms": stand.commit_ms(),
    }
