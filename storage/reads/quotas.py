"""What a tenant has of the things that are counted: sessions, runs that hold a slot, and runs that wait for one."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select

from storage import postgres
from storage.tables import Run, Session


class Counts(NamedTuple):
    """How many there are now; the runs only of a tenant whose runs are limited, others wait for nobody."""

    sessions: int
    concurrent_runs: int
    waiting_runs: int


def counts(tenant_id: UUID) -> Counts:
    """All of them, by the indexes of admission and the sessions' key."""
    of_tenant = (Run.tenant_id == tenant_id, Run.limited)
    holding = select(func.count()).where(*of_tenant, Run.admitted, Run.status.in_(("pending", "running")))
    waiting = select(func.count()).where(*of_tenant, ~Run.admitted, Run.status == "pending")
    with postgres.session(tenant_id) as db:
        made = select(func.count()).select_from(Session).where(Session.tenant_id == tenant_id)
        row = db.execute(select(made.scalar_subquery(), holding.scalar_subquery(), waiting.scalar_subquery())).one()
    return Counts(*row)


def sessions(tenant_id: UUID) -> int:
    """The tenant's sessions."""
    with postgres.session(tenant_id) as db:
        return db.scalar(select(func.count()).select_from(Session).where(Session.tenant_id == tenant_id)) or 0
