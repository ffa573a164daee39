"""Holds a tenant to its requests and tokens: at the API's door, and where models tell what they used.

    entered = enter(tenant_id, limits)                    one request, before anything is done for it
    entered = enter(tenant_id, limits, tokens=120)        one that spends: the tokens of its own text count as used
    spent(tenant_id, 800, used_today=410_000)             what a model used; never refused, the next request is

A tenant without a limit costs nothing here: nobody is asked. How requests are counted: `storage/rate_limits.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import structlog

import metrics
from errors import LimitReached
from policy import tenant_limits
from policy.plans import Limits
from settings import settings
from storage import model_calls, rate_limits
from storage.model_policies import policy_of
from storage.rate_limits import Count, Window

log = structlog.get_logger(__name__)

QPS, BURST, REQUESTS, TOKENS, TOKENS_TODAY = (
    "qps", "burst", "requests_per_minute", "tokens_per_minute", "tokens_per_day",
)  # fmt: skip
RATES = (BURST, QPS, REQUESTS, TOKENS)
MINUTE_SECONDS = 60


@dataclass(frozen=True)
class Standing:
    """How much of a window is used, and when the oldest part of it is free again."""

    name: str
    limit: int
    seconds: int
    used: int
    resets_in_seconds: float

    @property
    def remaining(self) -> int:
        """What is left of it."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class Entered:
    """What a request found. near: resources of which the tenant has used `alert_threshold` or more; refused: the error
    to answer with, None: it may go on."""

    standings: tuple[Standing, ...] = ()
    near: tuple[str, ...] = ()
    refused: LimitReached | None = None


FREE = Entered()


def enter(tenant_id: UUID, limits: Limits, *, tokens: int | None = None) -> Entered:
    """Count a request, unless a window refuses it; then it uses nothing up.

    tokens: for an operation that spends tokens, those of the request's own text; None for others. A text larger than a
    whole minute's tokens needs a minute of which nothing is used. Today's tokens are looked at last, so that asking in
    vain is held to the rate as well.
    """
    windows = _windows(limits, tokens=tokens is not None)
    costs = [(one, min(max(1, tokens or 0), one.limit) if one.counted else 1) for one in windows]
    found = _entered(tenant_id, costs) if costs else FREE
    if tokens is None or found.refused is not None:
        return found
    near, refused = _today(tenant_id, limits)
    return Entered(found.standings, found.near + near, refused)


def spent(tenant_id: UUID, tokens: int, *, used_today: int | None) -> None:
    """Count what a model used, over the limit as well. used_today: tokens of this UTC day, this call included."""
    limits = tenant_limits.of(tenant_id)
    for window in _windows(limits, tokens=True):
        if window.counted and tokens > 0:
            count = rate_limits.add(tenant_id, window, tokens)
            if count.warn:
                _warn(tenant_id, window.name, count.used, window.limit)
    limit = tokens_a_day(tenant_id, limits)
    if limit is not None and used_today is not None and is_near(used_today, limit, limits):
        _warn_once(tenant_id, TOKENS_TODAY, used_today, limit, math.ceil(seconds_to_next_day()))


def standings(tenant_id: UUID, limits: Limits) -> tuple[Standing, ...]:
    """How the tenant's windows stand, of requests and of tokens a minute."""
    windows = _windows(limits, tokens=True)
    return tuple(map(_standing, windows, rate_limits.look(tenant_id, windows))) if windows else ()


def note_sessions(tenant_id: UUID, used: int) -> None:
    """Warn, once a day, where the tenant's sessions come near their limit."""
    limits = tenant_limits.of(tenant_id)
    if limits.max_sessions is not None and is_near(used, limits.max_sessions, limits):
        _warn_once(tenant_id, "sessions", used, limits.max_sessions, 24 * 3600)


def tokens_a_day(tenant_id: UUID, limits: Limits) -> int | None:
    """The tenant's tokens a day: of its policy for models, else of its plan, else of the settings; None: no limit."""
    own = policy_of(tenant_id).tokens_per_day  # 0: no limit
    if own is None:
        own = limits.tokens_per_day or settings().model_tokens_per_day
    return own or None


def seconds_to_next_day(now: datetime | None = None) -> float:
    """Seconds until the next UTC midnight."""
    now = now or datetime.now(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    return (midnight - now).total_seconds()


def _windows(limits: Limits, *, tokens: bool) -> tuple[Window, ...]:
    """The windows that a request passes at the door, those of tokens among them."""
    if not settings().core_rate_limit_enabled:
        return ()
    return _of_requests(limits) + (_of_tokens(limits) if tokens else ())


@lru_cache(maxsize=1024)
def _of_requests(limits: Limits) -> tuple[Window, ...]:
    windows = []
    if limits.burst is not None:
        windows.append(Window(BURST, limits.burst, 1))
    if limits.qps is not None:
        seconds = max(limits.qps_window_seconds, math.ceil(1 / limits.qps))
        windows.append(Window(QPS, math.floor(limits.qps * seconds + 1e-9), seconds))
    if (limit := limits.requests_per_minute) is not None:
        windows.append(Window(REQUESTS, limit, MINUTE_SECONDS, warn_at=_warn_at(limit, limits)))
    return tuple(windows)


@lru_cache(maxsize=1024)
def _of_tokens(limits: Limits) -> tuple[Window, ...]:
    if (limit := limits.tokens_per_minute) is None:
        return ()
    return (Window(TOKENS, limit, MINUTE_SECONDS, counted=True, warn_at=_warn_at(limit, limits)),)


def _entered(tenant_id: UUID, costs: list[rate_limits.Cost]) -> Entered:
    taken = rate_limits.take(tenant_id, costs)
    near = []
    for (window, _), count in zip(costs, taken.counts, strict=True):
        if window.warn_at and count.used >= window.warn_at:
            near.append(window.name)
        if count.warn:
            _warn(tenant_id, window.name, count.used, window.limit)
    found = tuple(_standing(window, count) for (window, _), count in zip(costs, taken.counts, strict=True))
    if taken.refused is None:
        return Entered(found, tuple(near))
    window = costs[taken.refused][0]
    what = "tokens" if window.counted else "requests"
    detail = f"This tenant may use {window.limit:,} {what} in {_said(window.seconds)}."
    return Entered(found, tuple(near), LimitReached(window.name, taken.wait_seconds, detail))


def _today(tenant_id: UUID, limits: Limits) -> tuple[tuple[str, ...], LimitReached | None]:
    """Whether today's tokens are near their end, or at it."""
    limit = tokens_a_day(tenant_id, limits)
    if limit is None:
        return (), None
    used = model_calls.spent(tenant_id).tokens_used
    left_seconds = seconds_to_next_day()
    if is_near(used, limit, limits):
        _warn_once(tenant_id, TOKENS_TODAY, used, limit, math.ceil(left_seconds))
    if used >= limit:
        return (TOKENS_TODAY,), LimitReached(
            TOKENS_TODAY, left_seconds, f"This tenant may use {limit:,} tokens a day (UTC); today's are used up."
        )
    return ((TOKENS_TODAY,) if is_near(used, limit, limits) else ()), None


def _standing(window: Window, count: Count) -> Standing:
    return Standing(window.name, window.limit, window.seconds, count.used, count.resets_in_seconds)


def _said(seconds: int) -> str:
    return {1: "a second", 60: "a minute"}.get(seconds, f"{seconds} seconds")


def _warn_at(limit: int, limits: Limits) -> int:
    return max(1, math.ceil(limit * limits.alert_threshold - 1e-9))


def is_near(used: int, limit: int, limits: Limits) -> bool:
    """Whether so much of a limit is used that the tenant is to be warned."""
    return used >= _warn_at(limit, limits)


def _warn_once(tenant_id: UUID, resource: str, used: int, limit: int, seconds: int) -> None:
    if rate_limits.first_time(tenant_id, resource, seconds):
        _warn(tenant_id, resource, used, limit)


def _warn(tenant_id: UUID, resource: str, used: int, limit: int) -> None:
    """Tell it where people look: the log, and a metric to alarm on."""
    metrics.QUOTA_WARNINGS.labels(metrics.tenant(tenant_id), resource).inc()
    log.warning("quota_warning", tenant_id=str(tenant_id), resource=resource, used=used, limit=limit)
