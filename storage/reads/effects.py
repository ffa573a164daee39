"""The ledger of a run's effects."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_

from storage.postgres import session
from storage.reads.cursors import cut, decode, encode
from storage.reads.runs import standing
from storage.tables import Effect


def page(
    tenant_id: UUID, run_id: UUID, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """The run's effects in the order of their intents, and the next cursor. Raises NotFound, InvalidInput."""
    standing(tenant_id, run_id)
    columns = (Effect.step, Effect.attempt, Effect.key, Effect.kind, Effect.status, Effect.created_at)
    asked = select(*columns).where(Effect.run_id == run_id)
    if (place := decode(cursor, datetime.fromisoformat, str)) is not None:  # type: ignore[arg-type]
        asked = asked.where(tuple_(Effect.created_at, Effect.key) > tuple_(*place))
    with session(tenant_id) as db:
        rows = db.execute(asked.order_by(Effect.created_at, Effect.key).limit(limit + 1)).all()
    kept, more = cut(rows, limit, (0 for _ in rows), 0)
    items = [
        {"step": e.step, "attempt": e.attempt, "key": e.key, "kind": e.kind, "status": e.status, "at": e.created_at}
        for e in kept
    ]
    return items, encode(kept[-1].created_at.isoformat(), kept[-1].key) if more else None
