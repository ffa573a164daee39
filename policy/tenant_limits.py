"""A tenant's limits as they stand now: its plan's, the settings' and its own, remembered for 5 s at most."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from uuid import UUID

import structlog
from cachetools import TTLCache

from errors import InvalidInput
from policy.plans import Limits, all_plans, limits_of
from settings import settings
from storage import tenant_limits as rows

log = structlog.get_logger(__name__)

REMEMBERED_SECONDS = 5.0
REMEMBERED_TENANTS = 10_000


@dataclass(frozen=True)
class Current:
    """The name of a tenant's plan, and what it may use."""

    plan: str
    limits: Limits


_lock = threading.Lock()
_known: TTLCache[UUID, Current] = TTLCache(REMEMBERED_TENANTS, REMEMBERED_SECONDS)


def of(tenant_id: UUID) -> Limits:
    """The tenant's limits, at most 5 s old. Raises NotFound where there is no such tenant."""
    return current(tenant_id).limits


def current(tenant_id: UUID) -> Current:
    """The same with the plan's name."""
    with _lock:
        known = _known.get(tenant_id)
    if known is not None:
        return known
    given = rows.read(tenant_id)
    try:
        limits = limits_of(given.plan, given.limits, settings())
    except InvalidInput as wrong:  # written past `validate_overrides`: a typing error must neither lock out nor let in
        log.error("tenant_limits_invalid", tenant_id=str(tenant_id), error=str(wrong))
        limits = all_plans()[given.plan]
    found = Current(given.plan, replace(limits, weight=given.weight))
    with _lock:
        _known[tenant_id] = found
    return found


def forget() -> None:
    """Ask the database again (tests)."""
    with _lock:
        _known.clear()
