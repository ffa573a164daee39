"""Counts requests and tokens in windows of time: in Redis for all processes together, or here while Redis is away.

    take(tenant_id, [(window, 1), ...])      takes from all windows, or from none where one does not hold its cost
    add(tenant_id, window, 250)              counts what was used, whatever the limit says
    look(tenant_id, windows)                 what is used of them

This is the storage of the library `limits`, with one script more than its own. The library's moving window is one
window a call: with several in a row, a request that the last one refuses has used up the others, and each is a round
trip. Here a refused request uses nothing up, a request is one round trip, and the clock is Redis' own, so that hosts
whose clocks are apart count alike. The lists in Redis are those that the library writes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import structlog
from cachetools import TLRUCache
from limits.storage import MemoryStorage, RedisStorage

import metrics
from settings import settings
from storage.broker import quick_client, quickly

log = structlog.get_logger(__name__)

SCRIPT = Path(__file__).with_suffix(".lua").read_bytes()
REMEMBERED_WARNINGS = 10_000


class Window(NamedTuple):
    """So much in so many seconds. A moving window holds in any stretch of that length; a counted one begins with its
    first use and ends as a whole, which costs the same for a million as for one.
    warn_at: warned from there on; 0: never.
    """

    name: str
    limit: int
    seconds: int
    counted: bool = False
    warn_at: int = 0


class Count(NamedTuple):
    """What is used of a window, when the oldest part of it is free again, and whether it is time for a warning."""

    used: int
    resets_in_seconds: float
    warn: bool = False


class Taken(NamedTuple):
    """What is used of each window now. refused: the index of the one that will hold its cost last; None: all did."""

    counts: tuple[Count, ...]
    refused: int | None = None
    wait_seconds: float = 0.0


Cost = tuple[Window, int]


def take(tenant_id: UUID, costs: Sequence[Cost]) -> Taken:
    """Take from all of the windows, or from none where one does not hold its cost. One round trip."""
    return _do(tenant_id, costs, force=False)


def add(tenant_id: UUID, window: Window, amount: int) -> Count:
    """Count what was used, over the limit as well."""
    return _do(tenant_id, [(window, amount)], force=True).counts[0]


def look(tenant_id: UUID, windows: Sequence[Window]) -> tuple[Count, ...]:
    """What is used of each."""
    return _do(tenant_id, [(window, 0) for window in windows], force=False).counts


def first_time(tenant_id: UUID, what: str, seconds: int) -> bool:
    """Whether nobody asked this of the tenant in the last so many seconds: then it is the asker's to tell."""
    key = _key(tenant_id, f"{what}:warned")

    def ask() -> tuple[object]:
        return (quick_client().set(f"baton:{key}", 1, nx=True, ex=max(1, seconds)),)

    answer = quickly(ask, "rate_limits") if settings().core_rate_limit_backend == "redis" else None
    return bool(answer[0]) if answer is not None else _local().first_time(key, seconds)


def forget_local() -> None:
    """Count anew in this process (tests)."""
    _local.cache_clear()


def _key(tenant_id: UUID, name: str) -> str:
    return f"{tenant_id}:limit:{name}"


def _do(tenant_id: UUID, costs: Sequence[Cost], *, force: bool) -> Taken:
    if settings().core_rate_limit_backend == "local":
        return _local().take(tenant_id, costs, force)
    taken = quickly(lambda: _shared().take(tenant_id, costs, force), "rate_limits")
    _tell(away=taken is None)
    if taken is not None:
        return taken
    metrics.RATE_LIMITS_LOCAL.inc()
    return _local().take(tenant_id, costs, force)


_away = threading.Event()


def _tell(*, away: bool) -> None:
    """Say once that Redis went, and once that it came back."""
    if away and not _away.is_set():
        _away.set()
        log.warning("rate_limits_local", detail="Redis does not answer: each process counts for itself")
    elif not away and _away.is_set():
        _away.clear()
        log.info("rate_limits_shared")


class _Shared(RedisStorage):
    """The library's storage in Redis, and a script that takes from several windows at once."""

    def __init__(self) -> None:
        super().__init__(settings().redis_url, connection_pool=quick_client().connection_pool, key_prefix="baton")
        self._take = self.get_connection().register_script(SCRIPT)

    def take(self, tenant_id: UUID, costs: Sequence[Cost], force: bool) -> Taken:
        keys = [self.prefixed_key(_key(tenant_id, window.name)) for window, _ in costs]
        values: list[int] = [int(force)]
        for window, cost in costs:
            values += (int(window.counted), window.limit, window.seconds, cost, window.warn_at)
        refused, wait_ms, *rest = self._take(keys, values)
        counts = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        return Taken(
            tuple(Count(used, resets_ms / 1000, bool(warn)) for used, resets_ms, warn in counts),
            refused - 1 if refused else None,
            wait_ms / 1000 if refused else 0.0,
        )


class _Local(MemoryStorage):
    """The library's storage in this process; one lock makes several windows one step."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._warned: TLRUCache[str, float] = TLRUCache(
            REMEMBERED_WARNINGS, ttu=lambda _key, seconds, now: now + seconds, timer=time.monotonic
        )

    def take(self, tenant_id: UUID, costs: Sequence[Cost], force: bool) -> Taken:
        with self._lock:
            counts = [self._count(_key(tenant_id, window.name), window) for window, _ in costs]
            waits = [
                (count.resets_in_seconds or window.seconds, index)
                for index, ((window, cost), count) in enumerate(zip(costs, counts, strict=True))
                if cost and count.used + cost > window.limit
            ]
            if waits and not force:
                wait_seconds, refused = max(waits)
                return Taken(tuple(counts), refused, wait_seconds)
            return Taken(tuple(self._use(tenant_id, *cost) if cost[1] else counts[i] for i, cost in enumerate(costs)))

    def first_time(self, key: str, seconds: int) -> bool:
        """Whether the key was not asked for in the last so many seconds."""
        with self._lock:
            return self._first_time(key, seconds)

    def _first_time(self, key: str, seconds: int) -> bool:
        first = key not in self._warned
        if first:
            self._warned[key] = seconds
        return first

    def _count(self, key: str, window: Window) -> Count:
        if window.counted:
            used = self.get(key)
            return Count(used, self.get_expiry(key) - time.time() if used else 0.0)
        since, used = self.get_moving_window(key, window.limit, window.seconds)
        return Count(used, since + window.seconds - time.time() if used else 0.0)

    def _use(self, tenant_id: UUID, window: Window, cost: int) -> Count:
        key = _key(tenant_id, window.name)
        if window.counted:
            self.incr(key, window.seconds, cost)
        else:
            self.acquire_entry(key, window.limit, window.seconds, cost)
        used, resets, _ = self._count(key, window)
        warn = 0 < window.warn_at <= used and self._first_time(f"{key}:warned", window.seconds)
        return Count(used, resets, warn)


@cache
def _shared() -> _Shared:
    return _Shared()


@cache
def _local() -> _Local:
    return _Local()
