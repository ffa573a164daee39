"""Checkpoints of a run or of a session: the rows of succeeded steps in the order of their commits.

A session's checkpoints are those of all its runs, numbered on in the order in which they were committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select

from errors import NotFound
from storage.postgres import session
from storage.reads.payloads import as_text
from storage.reads.runs import standing
from storage.tables import Run, Session, Step

_COLUMNS = (
    Step.run_id,
    Step.version,
    Step.key,
    Step.node,
    Step.status,
    Step.attempt,
    Step.output_ref,
    Step.finished_at,
    as_text(Step.output),
)


def of_run(tenant_id: UUID, run_id: UUID, up_to_version: int) -> tuple[Sequence[Row[*tuple[Any, ...]]], str]:
    """The run's checkpoints up to a version, with outputs, oldest first; and its trace id. Raises NotFound."""
    asked = select(*_COLUMNS).where(Step.run_id == run_id, Step.status == "succeeded", Step.version <= up_to_version)
    with session(tenant_id) as db:
        trace_id = db.execute(select(Run.trace_id).where(Run.id == run_id)).scalar_one_or_none()
        if trace_id is None:
            raise NotFound("There is no run of this id.")
        return db.execute(asked.order_by(Step.version)).all(), trace_id


def newest_version(tenant_id: UUID, run_id: UUID) -> int:
    """The version of the run's newest checkpoint; 0 if it has none. Raises NotFound."""
    standing(tenant_id, run_id)
    with session(tenant_id) as db:
        newest = select(func.max(Step.version)).where(Step.run_id == run_id, Step.status == "succeeded")
        return db.execute(newest).scalar_one() or 0


def of_session(tenant_id: UUID, session_id: str, *, after: int = 0, limit: int = 50) -> Sequence[Row[*tuple[Any, ...]]]:
    """Where the session's checkpoints `after` that number stand: (number, run_id, version, trace_id), oldest first."""
    numbered = _numbered(session_id).subquery()
    asked = select(numbered).where(numbered.c.number > after).order_by(numbered.c.number).limit(limit)
    with session(tenant_id) as db:
        return db.execute(asked).all()


def newest_of_session(tenant_id: UUID, session_id: str) -> int:
    """The number of the session's newest checkpoint; 0 if it has none."""
    numbered = _numbered(session_id).subquery()
    with session(tenant_id) as db:
        return db.execute(select(func.max(numbered.c.number))).scalar_one() or 0


def _numbered(session_id: str) -> Select[Any]:
    number = func.row_number().over(order_by=(Step.finished_at, Step.run_id, Step.version)).label("number")
    chosen = select(number, Step.run_id, Step.version, Run.trace_id).join(Run, Run.id == Step.run_id)
    # A fork's copies of its parent's checkpoints are not the session's second time.
    own = (Step.segment > 0) | Step.segment.is_(None) | Run.parent_run_id.is_(None)
    return chosen.where(Run.session_id == session_id, Step.status == "succeeded", own)


def knows_session(tenant_id: UUID, session_id: str) -> bool:
    """Whether the tenant has a session of this id, or runs that named it."""
    with session(tenant_id) as db:
        made = select(Session.id).where(Session.id == session_id)
        ran = select(Run.session_id).where(Run.session_id == session_id).limit(1)
        return bool(db.execute(select(made.exists() | ran.exists())).scalar_one())
