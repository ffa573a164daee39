"""Live streams: a thousand WebSockets on one web process, each on a run of its own; how late events come, and whether.

The events are written by the call that writes all events, in synced transactions, and published after the commit as a
worker does it, at a steady rate. Late is the time from there to the client. Then the viewers of fifty runs lose their
connections while their runs go on: what a viewer did not get exactly once and in order is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.asking import helper
from bench.figures import spread
from bench.stand import Stand
from bench.web import web

SOCKETS, RECONNECTS = 1000, 50
EVENTS_A_SECOND = 100.0
STEADY_SECONDS, RECONNECTING_SECONDS = 15.0, 8.0
ARRIVAL_SECONDS = 10.0

Told = dict[tuple[str, int], float]


def streams(stand: Stand, number: int) -> dict[str, float]:
    """How late events come to live viewers, and whether."""
    from storage import tenants

    tenant = tenants.ensure_default_tenant()
    key = tenants.create_api_key(tenant, "bench")
    runs = _accept(tenant, SOCKETS)
    with web(stand.servers.folder) as (address, pid), helper("bench.viewers", f"ws://{address}", key) as ask:
        opened = ask(watch=list(map(str, runs)))["open"]
        if opened < SOCKETS:
            raise RuntimeError(f"only {opened} of {SOCKETS} WebSockets were opened")
        before = ask(tell=True)  # what was there already
        told = _tell(tenant, runs, STEADY_SECONDS)
        received = _received(ask, told)
        late = [(at - told[run, seq]) * 1000 for run, seq, at in received if (run, seq) in told]

        few = runs[:RECONNECTS]
        answers: list[int] = []
        cutter = threading.Thread(target=lambda: answers.append(ask(reconnect=list(map(str, few)))["reconnects"]))
        cutter.start()
        told_then = _tell(tenant, few, RECONNECTING_SECONDS)
        cutter.join()
        received_then = _received(ask, told_then)
        megabytes = _megabytes(pid)
    return {
        **spread("streams", late),
        "streams_lost": _lost([*before, *received, *received_then], {**told, **told_then}),
        "streams_reconnects": answers[0],
        "streams_web_mb": megabytes,
        "streams_commit_ms": stand.commit_ms(),
    }


def _accept(tenant: UUID, number: int) -> list[UUID]:
    """Runs that are accepted and never sent: nobody but us moves them."""
    from chains.submit import SubmitRequest, submit

    return [submit(tenant, SubmitRequest("probe", {})).run_id for _ in range(number)]


def _tell(tenant: UUID, runs: Sequence[UUID], seconds: float) -> Told:
    """Write and publish events of these runs in turn, steadily; when each was published (Unix time)."""
    from chains.advance import Outcome, deliver, record
    from chains.decide import Event
    from storage import situation
    from storage.postgres import hot

    published: Told = {}
    began = time.monotonic()
    for number in range(int(seconds * EVENTS_A_SECOND)):
        time.sleep(max(0.0, began + number / EVENTS_A_SECOND - time.monotonic()))
        run = runs[number % len(runs)]
        with hot() as db, db.transaction(tenant, run):
            now = situation.read(db, tenant, run)
            assert now is not None
            outcome = Outcome.of(now)
            record(db, [Event("progress", "1", "probe.work", {"number": number})], outcome)
        published[str(run), outcome.events[0]["seq"]] = time.time()
        deliver(outcome)
    return published


def _received(ask: Any, told: Told) -> list[tuple[str, int, float]]:
    """What came, once all of it has come or long enough was waited for the rest."""
    missing, received = set(told), []
    until = time.monotonic() + ARRIVAL_SECONDS
    while missing and time.monotonic() < until:
        time.sleep(0.5)
        news = ask(tell=True)
        received += news
        missing -= {(run, seq) for run, seq, _ in news}
    return received


def _lost(received: Sequence[tuple[str, int, float]], told: Told) -> int:
    """Events that did not come, came twice or not in their turn."""
    seen: dict[str, list[int]] = {}
    for run, seq, _ in received:
        seen.setdefault(run, []).append(seq)
    newest: dict[str, int] = {}
    for run, seq in told:
        newest[run] = max(seq, newest.get(run, 0))
    wrong = 0
    for run, last in newest.items():
        came = seen.get(run, [])
        wrong += len(set(range(1, last + 1)) - set(came)) + sum(b <= a for a, b in pairwise(came))
    return wrong


def _megabytes(pid: int) -> float:
    """Memory of a process that is its own, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000
