"""Runs as rows: one, or a page of them newest first; with what is needed to show their steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, func, select, tuple_

from errors import NotFound
from storage.postgres import session
from storage.reads.cursors import PAGE_BYTES, decode, encode
from storage.reads.payloads import as_text
from storage.tables import Run, Segment, Step

FINAL = ("completed", "failed", "cancelled")

_COLUMNS = (
    Run.id,
    Run.chain,
    Run.chain_version,
    Run.status,
    Run.seq,
    Run.done,
    Run.session_id,
    Run.agent_id,
    Run.parent_run_id,
    Run.trace_id,
    Run.output_ref,
    Run.degraded_reason,
    Run.created_at,
    Run.started_at,
    Run.finished_at,
    as_text(Run.input),
    as_text(Run.facts),
    as_text(Run.output),
    as_text(Run.error),
    as_text(Run.pause),
)
_STEP_COLUMNS = (
    Step.run_id,
    Step.key,
    Step.node,
    Step.status,
    Step.version,
    Step.attempt,
    Step.started_at,
    Step.finished_at,
    as_text(Step.facts),
)
_SEGMENT_COLUMNS = (
    Segment.run_id,
    Segment.no,
    Segment.keys,
    Segment.nodes,
    Segment.pos,
    Segment.attempt,
    Segment.token,
    Segment.claimed_at,
)


class Found(NamedTuple):
    """A run's row with the rows of its steps (by version) and of its open segments."""

    run: Row[*tuple[Any, ...]]
    steps: Sequence[Row[*tuple[Any, ...]]]
    segments: Sequence[Row[*tuple[Any, ...]]]


class Standing(NamedTuple):
    """Where a run stands: its status and the seq of its newest event."""

    status: str
    seq: int

    @property
    def final(self) -> bool:
        """True if nothing moves this run any more but a resume."""
        return self.status in FINAL


def get(tenant_id: UUID, run_id: UUID) -> Found:
    """A run of the tenant. Raises NotFound."""
    with session(tenant_id) as db:
        row = db.execute(select(*_COLUMNS).where(Run.id == run_id)).one_or_none()
        if row is None:
            raise NotFound("There is no run of this id.")
        return _with_steps(db, [row])[0]


def standing(tenant_id: UUID, run_id: UUID) -> Standing:
    """A run's status and newest seq. Raises NotFound."""
    with session(tenant_id) as db:
        row = db.execute(select(Run.status, Run.seq).where(Run.id == run_id)).one_or_none()
    if row is None:
        raise NotFound("There is no run of this id.")
    return Standing(row.status, row.seq)


def page(
    tenant_id: UUID,
    *,
    status: str | None = None,
    chain: str | None = None,
    session_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Found], str | None]:
    """The tenant's runs, newest first, and the next page's cursor. Raises InvalidInput for a wrong cursor."""
    size = _size(Run.input, Run.output, Run.output_ref) + 3_000 * Run.done
    newest = select(Run.id, Run.created_at, size.label("size"))
    for column, value in ((Run.status, status), (Run.chain, chain), (Run.session_id, session_id)):
        if value is not None:
            newest = newest.where(column == value)
    if (place := decode(cursor, datetime.fromisoformat, UUID)) is not None:  # type: ignore[arg-type]
        newest = newest.where(tuple_(Run.created_at, Run.id) < tuple_(*place))
    one_more = newest.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit + 1).subquery()
    # The server adds up their sizes, so that runs which do not fit this answer are not even sent here.
    order = (one_more.c.created_at.desc(), one_more.c.id.desc())
    added = func.sum(one_more.c.size).over(order_by=order)
    sized = select(one_more, added.label("total"), func.count().over().label("found")).subquery()
    asked = select(*_COLUMNS, sized.c.found).join(sized, sized.c.id == Run.id)
    asked = asked.where((sized.c.total <= PAGE_BYTES) | (sized.c.total == sized.c.size))
    with session(tenant_id) as db:
        rows = db.execute(asked.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit)).all()
        shown = _with_steps(db, rows)
    last = rows[-1] if rows else None
    more = last is not None and last.found > len(rows)
    return shown, encode(last.created_at.isoformat(), last.id) if last is not None and more else None


def _size(given: Any, output: Any, ref: Any) -> Any:
    """About how many bytes a run takes in an answer; one in the blob store counts as a large one."""
    inline = func.octet_length(as_text(given)) + func.coalesce(func.octet_length(as_text(output)), 0)
    return inline + func.coalesce(func.length(ref) * 10_000, 0)


def _with_steps(db: Any, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Found]:
    ids = [row.id for row in rows]
    if not ids:
        return []
    steps: dict[UUID, list[Row[*tuple[Any, ...]]]] = {run_id: [] for run_id in ids}
    segments: dict[UUID, list[Row[*tuple[Any, ...]]]] = {run_id: [] for run_id in ids}
    for step in db.execute(select(*_STEP_COLUMNS).where(Step.run_id.in_(ids)).order_by(Step.version, Step.key)):
        steps[step.run_id].append(step)
    opened = select(*_SEGMENT_COLUMNS).where(Segment.run_id.in_(ids), Segment.open)
    for segment in db.execute(opened.order_by(Segment.no)):
        segments[segment.run_id].append(segment)
    return [Found(row, steps[row.id], segments[row.id]) for row in rows]
