"""One flight: of identical calls at the same moment one asks the model, the others wait for its answer.

Threads of one process wait for the first of them on a condition. That one waits for other processes through Redis
(storage/model_cache.py), with growing pauses. If the one who asks fails, the next one asks, and only that one. Every
wait has a bound: after it the caller asks for itself. Without Redis a process only knows its own flights.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from node import Stopped
from storage import model_cache

LOOK_SECONDS = 0.1  # how often one who waits asks whether its run is being stopped
FIRST_PAUSE_SECONDS = 0.02
MAX_PAUSE_SECONDS = 0.5


@dataclass
class _Flight:
    """One key's callers in this process."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    callers: int = 0
    led: bool = False
    answer: bytes | None = None


@dataclass(frozen=True)
class Wait:
    """How long a caller waits for another's answer, and when it must not wait any more."""

    until: float
    cancelled: Callable[[], bool]

    def goes_on(self) -> bool:
        """Whether there is time left. Raises Stopped where the run is being stopped."""
        if self.cancelled():
            raise Stopped
        return time.monotonic() < self.until

    def pause(self, seconds: float) -> float:
        """At most so many seconds, and no more than are left."""
        return max(0.0, min(seconds, self.until - time.monotonic()))


_lock = threading.Lock()
_flights: dict[str, _Flight] = {}


@contextmanager
def flight(tenant_id: UUID, key: str, *, seconds: float, cancelled: Callable[[], bool]) -> Iterator[bytes | None]:
    """Yields the answer that somebody else got meanwhile, or None: then the caller asks, and calls `landed`.

    seconds: how long the caller waits, and how long others wait for it. Raises Stopped.
    """
    wait = Wait(time.monotonic() + seconds, cancelled)
    here = _board(key)
    try:
        answer, leads = _first_of_process(here, wait)
        if not leads:
            yield answer
            return
        try:
            with _first_of_all(tenant_id, key, wait, seconds) as found:
                if found is not None:
                    here.answer = found
                yield found
        finally:
            with here.changed:
                here.led = False
                # With an answer everybody goes; without one the next asks, not all at once.
                here.changed.notify_all() if here.answer is not None else here.changed.notify()
    finally:
        _leave(key, here)


def landed(key: str, answer: bytes) -> None:
    """The answer came: whoever waits in this process gets it when the asker's flight ends."""
    with _lock:
        if known := _flights.get(key):
            known.answer = answer


def _board(key: str) -> _Flight:
    with _lock:
        known = _flights.setdefault(key, _Flight())
        known.callers += 1
        return known


def _leave(key: str, here: _Flight) -> None:
    with _lock:
        here.callers -= 1
        if not here.callers and _flights.get(key) is here:
            del _flights[key]


def _first_of_process(here: _Flight, wait: Wait) -> tuple[bytes | None, bool]:
    """(the answer of this process's first caller, whether this caller is the first one)."""
    with here.changed:
        while here.answer is None and here.led and wait.goes_on():
            here.changed.wait(wait.pause(LOOK_SECONDS))
        if here.answer is None and not here.led:
            here.led = True
            return None, True
        return here.answer, False


@contextmanager
def _first_of_all(tenant_id: UUID, key: str, wait: Wait, seconds: float) -> Iterator[bytes | None]:
    """Yields another process's answer, or None where this one asks; the flight in Redis ends with the block."""
    token = secrets.token_hex(8)
    leads, answer = _take_off(tenant_id, key, token, wait, seconds)
    try:
        yield answer
    finally:
        if leads:
            model_cache.let_go(tenant_id, key, token)


def _take_off(tenant_id: UUID, key: str, token: str, wait: Wait, seconds: float) -> tuple[bool, bytes | None]:
    """Wait until there is an answer or this caller may ask; when the time is over it asks without being the one."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        asked = model_cache.lead(tenant_id, key, token, seconds)
        if asked is None or asked[0] or asked[1] is not None:
            return asked or (False, None)
        woken = time.monotonic() + wait.pause(pause)
        while (left := woken - time.monotonic()) > 0 and wait.goes_on():
            time.sleep(min(left, LOOK_SECONDS))
        if not wait.goes_on():
            return False, None
        pause = min(2 * pause, MAX_PAUSE_SECONDS)
