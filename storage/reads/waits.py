"""Which steps of a tenant wait for one kind of answer: for what answers many of them at once."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select, text, tuple_

from storage.postgres import session
from storage.reads.payloads import as_text, parsed
from storage.tables import Run, Step

# what the index of active runs is reached by: no statement of the hot path says it (storage/tables.py)
_ALWAYS = Run.created_at > text("'-infinity'")


def waiting_for(tenant_id: UUID, kind: str, *, after: tuple[UUID, str], limit: int) -> list[tuple[UUID, str, bool]]:
    """The next waiting steps behind `after`, as (run, key, whether it waits for this kind), in the order of their runs.

    The kind is looked at here: Postgres can take nothing out of JSON that holds U+0000 anywhere.
    """
    asked = (
        select(Step.run_id, Step.key, as_text(Step.pause).label("pause"))
        .join(Run, Run.id == Step.run_id)
        .where(Run.status.in_(("running", "paused")), _ALWAYS, Step.status == "waiting")
        .where(tuple_(Step.run_id, Step.key) > tuple_(*after))
        .order_by(Step.run_id, Step.key)
        .limit(limit)
    )
    with session(tenant_id) as db:
        rows = db.execute(asked).all()
    return [(row.run_id, row.key, (parsed(row.pause) or {}).get("kind") == kind) for row in rows]
