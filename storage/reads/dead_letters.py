"""Dead letters: failed runs, each with the step that was given up. A replay is a resume of its run."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select, tuple_

from storage.postgres import session
from storage.reads.cursors import cut, decode, encode
from storage.reads.payloads import as_text, parsed
from storage.tables import Run, Step


def page(tenant_id: UUID, *, limit: int = 50, cursor: str | None = None) -> tuple[list[dict[str, Any]], str | None]:
    """Newest first, and the next cursor. Raises InvalidInput for a wrong cursor."""
    failed = and_(Step.run_id == Run.id, Step.status == "failed")
    columns = (
        Run.id,
        Run.chain,
        Run.session_id,
        Run.finished_at,
        as_text(Run.error),
        Step.key,
        Step.node,
        Step.attempt,
        Step.failures,
        Step.losses,
        as_text(Step.error).label("step_error"),
    )
    asked = select(*columns).outerjoin(Step, failed).where(Run.status == "failed")
    if (place := decode(cursor, datetime.fromisoformat, UUID, str)) is not None:  # type: ignore[arg-type]
        at, run_id, key = place
        older = tuple_(Run.finished_at, Run.id) < tuple_(at, run_id)
        asked = asked.where(older | and_(Run.id == run_id, Step.key > key))
    order = (Run.finished_at.desc(), Run.id.desc(), Step.key)
    with session(tenant_id) as db:
        rows = db.execute(asked.order_by(*order).limit(limit + 1)).all()
    kept, more = cut(rows, limit, (0 for _ in rows), 0)
    last = kept[-1] if more else None
    following = encode(last.finished_at.isoformat(), last.id, last.key or "") if last is not None else None
    return [_shown(row) for row in kept], following


def _shown(row: Any) -> dict[str, Any]:
    error = {"code": "failed", "message": "", **(parsed(row.error) or {}), **(parsed(row.step_error) or {})}
    return {
        "run_id": row.id,
        "chain": row.chain,
        "step": row.key or error.get("step"),
        "node": row.node,
        "code": error["code"],
        "message": error["message"],
        "attempt": row.attempt,
        "failures": row.failures,
        "losses": row.losses,
        "session_id": row.session_id,
        "failed_at": row.finished_at,
    }
