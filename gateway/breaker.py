"""A breaker per backend, shared by all processes: who fails three times in a row is left alone, then probed by one.

    closed ─ 3 failures in a row ─▶ open (5 s, then 10, 20, ... 60, ± 20 %) ─ over ─▶ half open: one call at a time
       ▲                             ▲                                                  │            │
       └── recovering: 10 s in which ┼───────────────────────── it succeeds ────────────┘            │
           requests come back        └───────────────────────── it fails ────────────────────────────┘

While it recovers, a backend gets a growing share of the requests: one that just came back is not buried at once.
A 429 with Retry-After opens it for that long, ten minutes at most, and closes it without a probe: it wants a pause.

The state is in Redis (storage/model_health.py), looked at every quarter of a second, and at once after what a process
saw itself; that it remembers, and goes on with where Redis does not answer. Not pybreaker: it holds a lock of the
process while the call runs, so that a worker's threads would talk to a model one after the other (ADR 0019).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from storage import model_health
from storage.model_health import RAMP_SECONDS, Health

Gate: TypeAlias = Literal["go", "probe", "rather not", "no"]

FAILURES_IN_A_ROW = 3
OPEN_SECONDS = 5.0
MAX_OPEN_SECONDS = 60.0
MAX_BUSY_SECONDS = 600.0
LOOK_EVERY_SECONDS = 0.25
LEAST_SHARE = 0.1


@dataclass
class _Seen:
    """What this process saw of a backend itself; only asked where Redis does not answer."""

    failures: int = 0
    openings: int = 0
    open_until: float = 0.0
    unproven: bool = False
    probing_until: float = 0.0


_lock = threading.Lock()
_seen: dict[str, _Seen] = {}
_looked: dict[tuple[str, ...], tuple[float, dict[str, Health]]] = {}


def healths(names: Sequence[str]) -> dict[str, Health]:
    """What is known of these backends, at most a quarter of a second old."""
    key = tuple(names)
    good_until, known = _looked.get(key, (0.0, {}))
    if time.monotonic() < good_until:
        return known
    found = model_health.look(names)
    if found is None:
        found = {name: _own(name) for name in names}
    if len(_looked) > 64:
        _looked.clear()
    _looked[key] = (time.monotonic() + LOOK_EVERY_SECONDS, found)
    return found


def gate(name: str, health: Health, probe_seconds: float) -> Gate:
    """Whether a call may go there now. "rather not": only if nobody else is able. "probe": this call decides."""
    if health.state == "open":
        return "no"
    if health.state == "half-open":
        return "probe" if _may_probe(name, probe_seconds) else "no"
    if health.state == "recovering":
        share = max(LEAST_SHARE, 1 - health.ramp_seconds / RAMP_SECONDS)
        return "go" if random.random() < share else "rather not"
    return "go"


def succeeded(name: str, first_token_ms: float, *, probe: bool) -> None:
    """An answer came."""
    with _lock:
        _seen[name] = _Seen()
    model_health.succeeded(name, first_token_ms, recovered=probe)
    if probe:
        _looked.clear()


def failed(name: str, *, probe: bool) -> None:
    """A failure that speaks against the backend: opens the breaker at the third in a row, or at a probe's."""
    known = _of(name)
    with _lock:
        known.failures += 1
    failures = model_health.count_failure(name) or known.failures
    if probe or failures >= FAILURES_IN_A_ROW:
        with _lock:
            known.openings += 1
        openings = model_health.count_opening(name) or known.openings
        seconds = min(MAX_OPEN_SECONDS, OPEN_SECONDS * 2 ** min(openings - 1, 10)) * random.uniform(0.8, 1.2)
        _open(name, seconds, unproven=True)


def busy(name: str, retry_after_seconds: float) -> None:
    """It asked to be left alone for a while."""
    _open(name, min(MAX_BUSY_SECONDS, retry_after_seconds), unproven=False)


def undecided(name: str) -> None:
    """A probe ended without an answer to its question (it was cancelled): the next call may probe."""
    _of(name).probing_until = 0.0
    model_health.let_go(name)


def forget() -> None:
    """Forget what this process saw (tests; a forked child need not)."""
    with _lock:
        _seen.clear()
        _looked.clear()


def _open(name: str, seconds: float, *, unproven: bool) -> None:
    with _lock:
        known = _of(name)
        known.failures, known.unproven = 0, unproven
        known.open_until, known.probing_until = time.monotonic() + seconds, 0.0
    model_health.open_breaker(name, seconds, unproven=unproven)
    _looked.clear()


def _may_probe(name: str, seconds: float) -> bool:
    shared = model_health.may_probe(name, seconds)
    if shared is not None:
        return shared
    with _lock:
        known = _of(name)
        if known.probing_until > time.monotonic():
            return False
        known.probing_until = time.monotonic() + seconds
        return True


def _own(name: str) -> Health:
    """The same from this process's own memory."""
    known = _of(name)
    left = known.open_until - time.monotonic()
    return Health("open", left) if left > 0 else Health("half-open" if known.unproven else "closed")


def _of(name: str) -> _Seen:
    return _seen.setdefault(name, _Seen())
