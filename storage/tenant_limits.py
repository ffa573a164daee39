"""Reads a tenant's plan, its own limits and its weight. `policy/tenant_limits.py` says what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from errors import NotFound
from storage.postgres import hot


@dataclass(frozen=True)
class Given:
    """What stands in the tenant's row; limits: as they were stored, None where the plan's hold."""

    plan: str
    limits: dict[str, Any] | None
    weight: int


def read(tenant_id: UUID) -> Given:
    """The tenant's row, in one round trip. Raises NotFound."""
    with hot() as db:
        row = db.one("tenant_limits", tenant_id, tenant=tenant_id, synced=False)
    if row is None:
        raise NotFound("There is no such tenant.")
    return Given(row[0], json.loads(row[1]) if row[1] else None, row[2])
