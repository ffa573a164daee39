"""What goes after the retention time: finished runs with all that is theirs, model calls, the record, empty months.

`run_once` deletes runs that finished `retention_days` ago or earlier (failed ones too: by then nobody resumes them), in
batches of one transaction each, oldest first, and drops the months in which no run is left. Pending, running and paused
runs stay for ever, and so does a run whose idempotency key is younger than 7 days: a replay must find it.
Model calls are kept for `model_log_days`, whatever became of their runs, and go by whole months; what was said in them
goes with the run. The record is kept for `audit_days` and goes by whole months, behind a cut at which its verification
begins. `make_partitions` makes the months to come. All as the keeper, several at once do no harm, each call is bounded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg2.errors import LockNotAvailable
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from settings import settings
from storage import blobs
from storage.audit_tables import AuditLog
from storage.model_tables import ModelCall, ModelSpend, SemanticAnswer
from storage.postgres import keeper_session
from storage.tables import Effect, Event, Run, Segment, Slot, Step, uuid7_floor

log = logging.getLogger(__name__)

FINISHED = ("completed", "failed", "cancelled")
IDEMPOTENCY_KEYS_LIVE = timedelta(days=7)
SLOTS_LIVE = timedelta(days=7)
BATCH_RUNS = 200
BATCH_ANSWERS = 5_000
PARTITIONED = ("events", "llm_call_logs", "audit_logs")
MONTHS_AHEAD = 3


@dataclass(frozen=True)
class Removed:
    """What one call removed. `more`: it stopped at its bound, so call again soon."""

    runs: int
    partitions: tuple[str, ...]
    more: bool


def run_once(now: datetime, *, max_runs: int = 5_000) -> Removed:
    """Remove what is older than the retention time at `now` (aware), at most `max_runs` runs.

    A run whose blobs cannot be deleted stays, is logged, and is tried again by the next call.
    """
    removed, after = 0, UUID(int=0)
    while removed < max_runs:
        with keeper_session() as session:
            batch = _expired(session, now, after, min(BATCH_RUNS, max_runs - removed))
            if not batch:
                break
            after = batch[-1][0]
            removed += remove_runs(
                session, [run_id for run_id, tenant_id in batch if _blobs_deleted(run_id, tenant_id)]
            )
    _remove_small(now)
    kept_days = (settings().retention_days, settings().model_log_days, settings().audit_days)
    partitions = [
        name
        for table, days in zip(PARTITIONED, kept_days, strict=True)
        for name in _drop_partitions(table, now - timedelta(days=days))
    ]
    return Removed(removed, tuple(partitions), more=removed >= max_runs)


def make_partitions(months_ahead: int = MONTHS_AHEAD) -> tuple[str, ...]:
    """Make the partitions of this month and the next ones; the names of the new ones.

    Rows that fell into the default partition meanwhile move to their month. Raises OperationalError when other
    statements hold a table for 2 s; the next call does it.
    """
    made: list[str] = []
    for table in PARTITIONED:
        with keeper_session() as session:
            made += session.scalar(select(func.baton_make_partitions(table, months_ahead))) or ()
    return tuple(made)


def _expired(session: Session, now: datetime, after: UUID, limit: int) -> list[tuple[UUID, UUID]]:
    """The oldest expired runs behind `after` as (run, tenant), locked, so that a resume cannot revive them meanwhile.

    A run cannot have finished before its id was made: the primary key alone finds all that is old enough.
    """
    cutoff = now - timedelta(days=settings().retention_days)
    rows = session.execute(
        select(Run.id, Run.tenant_id)
        .where(
            Run.id > after,
            Run.id < uuid7_floor(cutoff),
            Run.status.in_(FINISHED),
            Run.finished_at < cutoff,
            or_(Run.idem_key.is_(None), Run.created_at < now - IDEMPOTENCY_KEYS_LIVE),
        )
        .order_by(Run.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [(run_id, tenant_id) for run_id, tenant_id in rows]


def _blobs_deleted(run_id: UUID, tenant_id: UUID) -> bool:
    """Delete a run's blobs, before its row: what has no row any more nobody would ever find."""
    try:
        blobs.delete_run(tenant_id, run_id)
    except Exception:  # whatever a file system raises: this run waits, the others go on
        log.exception("retention: the blobs of run %s cannot be deleted", run_id)
        return False
    return True


def remove_runs(session: Session, ids: list[UUID]) -> int:
    """Delete runs and their rows in every table, and what their model calls said; their blobs are gone already."""
    said = update(ModelCall).where(
        ModelCall.run_id.in_(ids), or_(ModelCall.prompt.is_not(None), ModelCall.answer.is_not(None))
    )
    session.execute(said.values(prompt=None, answer=None))
    for table in (Event, Effect, Step, Segment):
        session.execute(delete(table).where(table.run_id.in_(ids)))
    session.execute(delete(Run).where(Run.id.in_(ids)))
    return len(ids)


def _remove_small(now: datetime) -> None:
    """Delete old rows of tables without months: beats that fired, days that were spent, answers that are stale."""
    stale = select(SemanticAnswer.id).where(SemanticAnswer.expires_at < now).limit(BATCH_ANSWERS)
    last_day = (now - timedelta(days=settings().model_log_days)).astimezone(UTC).date()
    with keeper_session() as session:
        session.execute(delete(Slot).where(Slot.fire_at < now - SLOTS_LIVE))
        session.execute(delete(ModelSpend).where(ModelSpend.day < last_day))
        session.execute(delete(SemanticAnswer).where(SemanticAnswer.id.in_(stale)))


def _drop_partitions(table: str, before: datetime) -> tuple[str, ...]:
    """Drop the months that ended before (of events: and are empty of runs); none when the table is held for 2 s.

    The record's cut moves in the same transaction, with an entry of each tenant that has some in these months.
    """
    try:
        with keeper_session() as session:
            if table == AuditLog.__tablename__:
                session.execute(select(func.baton_audit_cut(before)))
            return tuple(session.scalar(select(func.baton_drop_partitions(table, before))) or ())
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        log.info("retention: %s is in use, no month dropped this time", table)
        return ()
