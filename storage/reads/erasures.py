"""Requests to forget a subject, as rows: one, or a page of them newest first. Whom they are about is never shown."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, select

from errors import NotFound
from storage.audit_tables import Erasure
from storage.postgres import session
from storage.reads.cursors import decode, encode
from storage.tables import Run


def get(tenant_id: UUID, erasure_id: UUID) -> dict[str, Any]:
    """An erasure of the tenant. Raises NotFound."""
    with session(tenant_id) as db:
        row = db.execute(_rows(tenant_id).where(Erasure.id == erasure_id)).one_or_none()
    if row is None:
        raise NotFound("There is no erasure of this id.")
    return _shown(row)


def page(tenant_id: UUID, *, limit: int = 50, cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
    """The tenant's erasures, newest first, and the next page's cursor. Raises InvalidInput for a wrong cursor."""
    asked = _rows(tenant_id).order_by(Erasure.id.desc()).limit(limit + 1)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(Erasure.id < place[0])
    with session(tenant_id) as db:
        rows = db.execute(asked).all()
    items = [_shown(row) for row in rows[:limit]]
    return items, encode(items[-1]["erasure_id"]) if len(rows) > limit else None


def _rows(tenant_id: UUID) -> Select[Any]:
    run = select(Run.status).where(Run.id == Erasure.run_id).scalar_subquery()
    return select(Erasure, run.label("run_status")).where(Erasure.tenant_id == tenant_id)


def _shown(row: Row[Any]) -> dict[str, Any]:
    """An erasure as clients see it; its run may have been given up, and is gone after the retention time."""
    found: Erasure = row.Erasure
    given_up = found.status != "done" and row.run_status in ("failed", "cancelled")
    return {
        "erasure_id": found.id,
        "status": "failed" if given_up else found.status,
        "subject_hash": found.subject_hash.decode(),
        "run_id": found.run_id,
        "requested_by": found.requested_by,
        "requested_at": found.requested_at,
        "done_at": found.done_at,
        "counts": found.counts or {},
    }
