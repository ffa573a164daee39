"""Figures that `/metrics` measures at each scrape: what waits, for how long, and who is alive. All tenants together."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, select

from storage.postgres import keeper_session
from storage.tables import ACTIVE_RUN_STATUSES, Run, Segment, Worker


class Gauges(NamedTuple):
    """queue_depth: open segments that nobody claimed, by queue; ages in seconds, 0 where there is nothing."""

    queue_depth: dict[str, int]
    oldest_lease_seconds: float
    oldest_unsent_seconds: float
    runs: dict[str, int]
    workers: int


def measure() -> Gauges:
    """One look at the engine's tables, by their partial indexes."""
    due = (Segment.open, Segment.due_at <= func.now())
    with keeper_session() as db:
        depth = select(Segment.queue, func.count()).where(*due, Segment.token.is_(None)).group_by(Segment.queue)
        lease = select(func.min(Segment.claimed_at)).where(Segment.open, Segment.token.is_not(None))
        unsent = select(func.min(Segment.due_at)).where(*due, Segment.token.is_(None), Segment.sent_at.is_(None))
        runs = select(Run.status, func.count()).where(Run.status.in_(ACTIVE_RUN_STATUSES)).group_by(Run.status)
        alive = select(func.count()).select_from(Worker).where(Worker.alive_until > func.now())
        age = func.coalesce(func.extract("epoch", func.now() - lease.scalar_subquery()), 0)
        late = func.coalesce(func.extract("epoch", func.now() - unsent.scalar_subquery()), 0)
        lease_seconds, unsent_seconds, workers = db.execute(select(age, late, alive.scalar_subquery())).one()
        return Gauges(
            dict(db.execute(depth).tuples().all()),
            float(lease_seconds),
            float(unsent_seconds),
            dict(db.execute(runs).tuples().all()),
            workers,
        )
