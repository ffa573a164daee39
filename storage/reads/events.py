"""A run's events in order of seq, and what a live viewer has missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from errors import NotFound
from storage.postgres import hot
from storage.reads.cursors import PAGE_BYTES, cut
from storage.reads.payloads import parsed
from storage.reads.runs import Standing


def after(tenant_id: UUID, run_id: UUID, seq: int, limit: int) -> list[dict[str, Any]]:
    """At most `limit` events with a larger seq, oldest first. Raises NotFound."""
    return since(tenant_id, run_id, seq, limit)[0]


def since(tenant_id: UUID, run_id: UUID, seq: int, limit: int) -> tuple[list[dict[str, Any]], Standing]:
    """The same, with where the run stood when they were read: its newest seq covers the events. Raises NotFound.

    One round trip: a thousand viewers that come back at the same moment ask for this.
    """
    with hot() as db:
        rows = db.all("missed_events", run_id, seq, limit, tenant=tenant_id)
    if not rows:
        raise NotFound("There is no run of this id.")
    found = [row[2:] for row in rows if row[2] is not None]
    kept, _ = cut(found, limit, (len(row[5] or "") for row in found), PAGE_BYTES)
    return [shown(run_id, *row) for row in kept], Standing(rows[0][0], rows[0][1])


def shown(
    run_id: UUID, seq: int, type: str, step: str | None, node: str | None, at: datetime, data: str | None
) -> dict[str, Any]:
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
