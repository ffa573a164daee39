"""Which steps of a tenant wait for one kind of answer: for what answers many of them at once, and for a session."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text, tuple_

from storage.postgres import session
from storage.reads.payloads import as_text, parsed
from storage.tables import Run, Step

RECENT_ANSWERS = 20

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


class Answered(NamedTuple):
    """A step that was answered under an idempotency key, and the digest of the request that did it."""

    run_id: UUID
    step: str
    digest: str | None


def question_in(tenant_id: UUID, session_id: str, chain: str) -> tuple[UUID, str] | None:
    """The one step of a session's active run of this chain that waits with a question, as (run, key).

    None where none or several do.

    Called before a run of a session is accepted; the index of active sessions finds the run.
    """
    asked = (
        select(Step.run_id, Step.key, as_text(Step.pause).label("pause"))
        .join(Run, Run.id == Step.run_id)
        .where(Run.session_id == session_id, Run.status.in_(("running", "paused")), Step.status == "waiting")
        .where(Run.chain == chain)
        .limit(2)
    )
    with session(tenant_id) as db:
        rows = db.execute(asked).all()
    asking = [row for row in rows if (parsed(row.pause) or {}).get("kind") == "question"]
    return (asking[0].run_id, asking[0].key) if len(asking) == 1 == len(rows) else None


def answered_with(tenant_id: UUID, session_id: str, key: str) -> Answered | None:
    """The step of a session's run that was answered under this idempotency key, among the newest answers.

    Called before a run of a session is accepted under a key: a client that repeats itself answers once.
    """
    asked = (
        select(Step.run_id, Step.key, as_text(Step.answer).label("answer"))
        .join(Run, Run.id == Step.run_id)
        .where(Run.session_id == session_id, Step.answer.is_not(None))
        .order_by(Run.id.desc())
        .limit(RECENT_ANSWERS)
    )
    with session(tenant_id) as db:
        rows = db.execute(asked).all()
    given = [(row.run_id, row.key, parsed(row.answer)) for row in rows]
    ours = ((run, step, one) for run, step, one in given if isinstance(one, dict) and one.get("key") == key)
    return next((Answered(run, step, one.get("digest")) for run, step, one in ours), None)
