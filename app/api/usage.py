"""What a tenant's model calls used, and today's budget."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

from app import auth
from app.api import blueprint
from app.operation import invalid, operation
from app.schemas.usage import UsagePage, UsageQuery
from storage.reads import usage

DEFAULT_DAYS = 30
MAX_DAYS = 366

api = blueprint("usage", __name__)


@operation(api, "GET", "/usage", "Sum up model calls", query=UsageQuery, answers={200: UsagePage})
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
        "budget": usage.budget(tenant_id),
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
