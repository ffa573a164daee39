"""Runs as rows: one, or a page of them newest first; with what is needed to show their steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON, Row, func, select, text, tuple_

from errors import NotFound
from storage.postgres import hot, session
from storage.reads.cursors import PAGE_BYTES, decode, encode
from storage.reads.payloads import as_text
from storage.tables import Base, Run, Segment, Step

FINAL = ("completed", "failed", "cancelled")


class RunRow(NamedTuple):
    """A run's columns that clients see something of; JSON as text."""

    id: UUID
    chain: str
    chain_version: str
    status: str
    seq: int
    done: int
    session_id: str | None
    agent_id: str | None
    parent_run_id: UUID | None
    trace_id: str
    output_ref: str | None
    degraded_reason: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    input: str
    facts: str | None
    output: str | None
    error: str | None
    pause: str | None


class StepRow(NamedTuple):
    """A step's columns that clients see something of."""

    key: str
    node: str
    status: str
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    facts: str | None


class SegmentRow(NamedTuple):
    """An open segment: what is queued, runs, and comes after it."""

    keys: list[str]
    nodes: list[str]
    pos: int
    attempt: int
    token: UUID | str | None
    claimed_at: datetime | None


class Found(NamedTuple):
    """A run's row with the rows of its steps (by version) and of its open segments."""

    run: RunRow
    steps: Sequence[StepRow]
    segments: Sequence[SegmentRow]


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
    with hot() as db:
        row = db.one("run", run_id, tenant=tenant_id)
    if row is None:
        raise NotFound("There is no run of this id.")
    *run, steps, segments = row
    return Found(
        RunRow(*run),
        [_step(*one) for one in json.loads(steps or "[]")],
        [_segment(*one) for one in json.loads(segments or "[]")],
    )


def _step(
    key: str, node: str, status: str, attempt: int, began: str | None, ended: str | None, facts: str | None
) -> StepRow:
    return StepRow(key, node, status, attempt, _moment(began), _moment(ended), facts)


def _segment(
    keys: list[str], nodes: list[str], pos: int, attempt: int, token: str | None, claimed: str | None
) -> SegmentRow:
    return SegmentRow(keys, nodes, pos, attempt, token, _moment(claimed))


def _moment(said: str | None) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


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
    newest = select(Run.id, Run.created_at, size.label("size")).where(Run.created_at > text("'-infinity'"))
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
    asked = select(*_columns(Run, RunRow), sized.c.found).join(sized, sized.c.id == Run.id)
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
    steps: dict[UUID, list[StepRow]] = {run_id: [] for run_id in ids}
    segments: dict[UUID, list[SegmentRow]] = {run_id: [] for run_id in ids}
    of_steps = select(Step.run_id, *_columns(Step, StepRow)).where(Step.run_id.in_(ids))
    for run_id, *step in db.execute(of_steps.order_by(Step.version, Step.key)):
        steps[run_id].append(StepRow(*step))
    opened = select(Segment.run_id, *_columns(Segment, SegmentRow)).where(Segment.run_id.in_(ids), Segment.open)
    for run_id, *segment in db.execute(opened.order_by(Segment.no)):
        segments[run_id].append(SegmentRow(*segment))
    return [Found(RunRow(*row[: len(RunRow._fields)]), steps[row.id], segments[row.id]) for row in rows]


def _columns(table: type[Base], row: type[NamedTuple]) -> list[Any]:
    """The table's columns for such a row."""
    found = [getattr(table, name) for name in row._fields]
    return [as_text(one) if isinstance(one.type, JSON) else one for one in found]
