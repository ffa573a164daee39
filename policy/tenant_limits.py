"""A tenant's limits as they stand now: its plan's, the settings' and its own, remembered for 5 s at most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from errors import InvalidInput
from policy.plans import Limits, all_plans, limits_of
from settings import settings
from storage import tenant_limits as rows
from storage.remembered import Remembered

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Current:
    """The name of a tenant's plan, and what it may use."""

    plan: str
    limits: Limits


def of(tenant_id: UUID) -> Limits:
    """The tenant's limits, at most 5 s old. Raises NotFound where there is no such tenant."""
    return current(tenant_id).limits


def current(tenant_id: UUID) -> Current:
    """The same with the plan's name."""
    found = _known.of(tenant_id)
    assert found is not None  # `_look_up` raises where there is none
    return found


def forget() -> None:
    """Ask the database again: this process has just changed a tenant."""
    _known.forget()


def _look_up(tenant_id: UUID) -> Current:
    given = rows.read(tenant_id)
    try:
        limits = limits_of(given.plan, given.limits, settings())
    except InvalidInput as wrong:  # written past `validate_overrides`: a typing error must neither lock out nor let in
        log.error("tenant_limits_invalid", tenant_id=str(tenant_id), error=str(wrong))
        limits = all_plans()[given.plan]
    return Current(given.plan, replace(limits, weight=given.weight))


_known = Remembered(_look_up)
