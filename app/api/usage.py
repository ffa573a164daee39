"""What a tenant's model calls used, today's budget, and how it stands with its limits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from app import auth
from app.api import blueprint
from app.operation import invalid, operation
from app.schemas.usage import Quotas, UsagePage, UsageQuery
from policy import limiter, tenant_limits
from policy.plans import Limits
from storage.model_calls import spent
from storage.reads import usage
from storage.reads.quotas import counts

DEFAULT_DAYS = 30
MAX_DAYS = 366

api = blueprint("usage", __name__)


@operation(api, "GET", "/usage", "Sum up model calls", needs="usage:read", query=UsageQuery, answers={200: UsagePage})
def page(query: UsageQuery) -> dict[str, Any]:
    """Tokens and cost by UTC day, model, chain or agent, in that order, and what is left of today's budget."""
    first, last = _days(query)
    by = cast(list[usage.Group], query.by.split(","))
    tenant_id = auth.tenant_id()
    items, cursor = usage.page(tenant_id, first, last, by, limit=query.limit, cursor=query.cursor)
    return {
        "items": items,
        "next_cursor": cursor,
        "totals": usage.totals(tenant_id, first, last),
        "budget": usage.budget(tenant_id, tenant_limits.of(tenant_id).tokens_per_day),
    }


@operation(
    api, "GET", "/usage/quotas", "Show limits and what is used of them", needs="usage:read", answers={200: Quotas}
)
def quotas() -> dict[str, Any]:
    """Of every resource; this request is counted in it. There are no documents yet, so there are 0 of them."""
    tenant_id = auth.tenant_id()
    current = tenant_limits.current(tenant_id)
    used = counts(tenant_id)
    shown = {
        **dict.fromkeys(limiter.RATES, _quota(None, None, current.limits)),
        **_rates(tenant_id, current.limits),
        limiter.TOKENS_TODAY: _today(tenant_id, current.limits),
        "concurrent_runs": _quota(current.limits.max_concurrent, used.concurrent_runs, current.limits),
        "waiting_runs": _quota(current.limits.max_waiting, used.waiting_runs, current.limits),
        "sessions": _quota(current.limits.max_sessions, used.sessions, current.limits),
        "documents": _quota(current.limits.max_documents, 0, current.limits),
    }
    patterns = current.limits.allowed_models
    return {"plan": current.plan, "allowed_models": None if patterns is None else list(patterns), "resources": shown}


def _rates(tenant_id: UUID, limits: Limits) -> dict[str, dict[str, Any]]:
    now = datetime.now(UTC)
    shown = {}
    for one in limiter.standings(tenant_id, limits):
        resets_at = now + timedelta(seconds=one.resets_in_seconds) if one.used else None
        shown[one.name] = _quota(one.limit, one.used, limits, window_seconds=one.seconds, resets_at=resets_at)
    return shown


def _today(tenant_id: UUID, limits: Limits) -> dict[str, Any]:
    now = datetime.now(UTC)
    resets_at = now + timedelta(seconds=limiter.seconds_to_next_day(now))
    limit = limiter.tokens_a_day(tenant_id, limits)
    return _quota(limit, spent(tenant_id).tokens_used, limits, resets_at=resets_at)


def _quota(
    limit: int | None,
    current: int | None,
    limits: Limits,
    *,
    window_seconds: int | None = None,
    resets_at: datetime | None = None,
) -> dict[str, Any]:
    return {
        "limit": limit,
        "current": current,
        "remaining": None if limit is None else max(0, limit - (current or 0)),
        "window_seconds": window_seconds,
        "resets_at": resets_at,
        "alert_threshold": limits.alert_threshold,
        "warning": limit is not None and limiter.is_near(current or 0, limit, limits),
    }


def _days(query: UsageQuery) -> tuple[date, date]:
    """The first and last day that are asked for. Raises InvalidInput for none, too many, or too far away."""
    last = query.last or datetime.now(UTC).date()
    if not date(1971, 1, 1) <= last <= date(9000, 1, 1):
        raise invalid("to", "is too far away")
    first = query.first or last - timedelta(days=DEFAULT_DAYS - 1)
    if first > last:
        raise invalid("from", "is later than `to`")
    if (last - first).days >= MAX_DAYS:
        raise invalid("from", f"is more than {MAX_DAYS} days before the end of `to`")
    return first, last
