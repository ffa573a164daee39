"""What all processes know together of a backend's health: its breaker and its times, in Redis, best effort.

Keys of a backend (they belong to the installation, not to a tenant):

    baton:model:NAME:failures    failures in a row, forgotten 60 s after the last
    baton:model:NAME:open        there while the breaker is open
    baton:model:NAME:unproven    there from the opening until a probe succeeds: open gone and unproven there = half open
    baton:model:NAME:probe       there while somebody probes: one at a time
    baton:model:NAME:opened      openings in a row: each lasts twice as long as the one before
    baton:model:NAME:ramp        there for 10 s after the closing, while requests come back a few at a time
    baton:model:NAME:ms          times to the first token, the last 64

Nothing here raises: without Redis each process is left with what it sees itself (gateway/breaker.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from storage import broker

State: TypeAlias = Literal["closed", "open", "half-open", "recovering"]

FAILURES_REMEMBERED_SECONDS = 60
UNPROVEN_SECONDS = 24 * 3600  # a backend that nobody asks is asked like any other after a day
OPENINGS_REMEMBERED_SECONDS = 600
RAMP_SECONDS = 10.0
TIMES_KEPT = 64


@dataclass(frozen=True)
class Health:
    """state: of the breaker; open_for_seconds: until it may be probed; ramp_seconds: left of the recovery;
    median_ms: to the first token, None where nobody asked yet."""

    state: State = "closed"
    open_for_seconds: float = 0.0
    ramp_seconds: float = 0.0
    median_ms: float | None = None


def look(names: Sequence[str]) -> dict[str, Health] | None:
    """The health of each backend, in one round trip; None where Redis does not answer."""

    def read() -> list[object]:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            for name in names:
                pipe.pttl(_key(name, "open"))
                pipe.exists(_key(name, "unproven"))
                pipe.pttl(_key(name, "ramp"))
                pipe.lrange(_key(name, "ms"), 0, TIMES_KEPT - 1)
            return pipe.execute()

    answers = broker.quickly(read, "model_health")
    if answers is None:
        return None
    rows = zip(*[iter(answers)] * 4, strict=True)
    return {name: _health(*row) for name, row in zip(names, rows, strict=True)}


def _health(open_ms: int, unproven: int, ramp_ms: int, times: Sequence[bytes]) -> Health:
    state: State = "open" if open_ms > 0 else "half-open" if unproven else "recovering" if ramp_ms > 0 else "closed"
    known = median(float(time) for time in times) if times else None
    return Health(state, max(0, open_ms) / 1000, max(0, ramp_ms) / 1000, known)


def count_failure(name: str) -> int | None:
    """One more failure in a row; how many there are now."""

    def write() -> int:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            pipe.incr(_key(name, "failures"))
            pipe.expire(_key(name, "failures"), FAILURES_REMEMBERED_SECONDS)
            return int(pipe.execute()[0])

    return broker.quickly(write, "model_failed")


def count_opening(name: str) -> int | None:
    """One more opening in a row; how many there are now."""

    def write() -> int:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            pipe.incr(_key(name, "opened"))
            pipe.expire(_key(name, "opened"), OPENINGS_REMEMBERED_SECONDS)
            return int(pipe.execute()[0])

    return broker.quickly(write, "model_opened")


def open_breaker(name: str, seconds: float, *, unproven: bool) -> None:
    """Keep everybody away for so long. unproven: then one probe decides; else it is simply over."""

    def write() -> None:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            pipe.set(_key(name, "open"), 1, px=max(1, round(seconds * 1000)))
            if unproven:
                pipe.set(_key(name, "unproven"), 1, ex=UNPROVEN_SECONDS)
            pipe.delete(_key(name, "failures"), _key(name, "probe"), _key(name, "ramp"))
            pipe.execute()

    broker.quickly(write, "model_breaker_open")


def may_probe(name: str, seconds: float) -> bool | None:
    """Whether this caller is the one who probes, for so long; None where Redis does not answer."""
    taken = broker.quickly(
        lambda: (broker.quick_client().set(_key(name, "probe"), 1, nx=True, px=max(1, round(seconds * 1000))),),
        "model_probe",
    )
    return None if taken is None else bool(taken[0])


def let_go(name: str) -> None:
    """The probe ended without an answer to its question: the next caller may probe."""
    broker.quickly(lambda: broker.quick_client().delete(_key(name, "probe")), "model_probe")


def succeeded(name: str, first_token_ms: float, *, recovered: bool) -> None:
    """An answer came. recovered: it was a probe's, so the breaker closes and requests come back a few at a time."""

    def write() -> None:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            pipe.lpush(_key(name, "ms"), round(first_token_ms, 1))
            pipe.ltrim(_key(name, "ms"), 0, TIMES_KEPT - 1)
            pipe.delete(_key(name, "failures"))
            if recovered:
                pipe.delete(_key(name, "open"), _key(name, "unproven"), _key(name, "probe"), _key(name, "opened"))
                pipe.set(_key(name, "ramp"), 1, px=round(RAMP_SECONDS * 1000))
            pipe.execute()

    broker.quickly(write, "model_succeeded")


def _key(name: str, what: str) -> str:
    return f"baton:model:{name}:{what}"
