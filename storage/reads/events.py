"""A run's events in order of seq, and what a live viewer has missed."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from storage.postgres import session
from storage.reads.cursors import PAGE_BYTES, cut
from storage.reads.payloads import as_text, parsed
from storage.reads.runs import Standing, standing
from storage.tables import Event, Run


def after(tenant_id: UUID, run_id: UUID, seq: int, limit: int) -> list[dict[str, Any]]:
    """At most `limit` events with a larger seq, oldest first. Raises NotFound."""
    return since(tenant_id, run_id, seq, limit)[0]


def since(tenant_id: UUID, run_id: UUID, seq: int, limit: int) -> tuple[list[dict[str, Any]], Standing]:
    """The same, with where the run stood when they were read: its newest seq covers the events. Raises NotFound."""
    columns = (Event.seq, Event.type, Event.step, Event.node, Event.at, as_text(Event.data))
    size = func.coalesce(func.octet_length(as_text(Event.data)), 0).label("size")
    asked = select(*columns, size).where(Event.run_id == run_id, Event.seq > seq).order_by(Event.seq).limit(limit)
    with session(tenant_id) as db:
        stood = db.execute(select(Run.status, Run.seq).where(Run.id == run_id)).one_or_none()
        rows = db.execute(asked).all() if stood is not None and stood.seq > seq else []
    if stood is None:
        standing(tenant_id, run_id)  # raises
        raise AssertionError("a run appeared")
    kept, _ = cut(rows, limit, (row.size for row in rows), PAGE_BYTES)
    return [shown(run_id, *row[:6]) for row in kept], Standing(stood.status, stood.seq)


def shown(run_id: UUID, seq: int, type: str, step: str | None, node: str | None, at: Any, data: str | None) -> dict[str, Any]:
    """An event as the API shows it."""
    return {
        "run_id": str(run_id),
        "seq": seq,
        "type": type,
        "at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "step": step,
        "node": node,
        "data": parsed(data) or {},
    }
