"""Admission: runs of a tenant with a limit on concurrent runs wait as `pending` until there is a slot for them.

    submit     the run is recorded; a limited one is not moved yet       (429 where too many wait already)
    admit      when a limited run came or ended: slots are given out     (one statement, `admit`)
    the sweep  the same once a second, for what somebody died over

Slots are given out fairly: to the tenant that has the fewest in proportion to its weight, and inside a tenant by
priority, then age. The installation has three slots for every two worker threads: enough to keep them busy, and the
queue before them stays shorter than what they are at; a tenant that has none gets its first one at once all the same.
Ten thousand waiting runs of one tenant therefore hold up another's first run by less than what the workers are at.

A run that waits for a person holds no slot and goes on at once when it is answered. Tenants without a limit do not
pass here at all.
"""

from __future__ import annotations

import json
import threading
from uuid import UUID

from errors import TooManyWaiting
from policy import plans, tenant_limits
from settings import settings
from storage.postgres import Hot, hot

BATCH = 500

_admitting = threading.Lock()
_asked = threading.Event()


def is_limited(tenant_id: UUID) -> bool:
    """Whether the tenant's runs wait for slots."""
    return tenant_limits.of(tenant_id).max_concurrent is not None


def refuse_too_many(db: Hot, tenant_id: UUID) -> None:
    """Raise TooManyWaiting where the tenant's bound of waiting runs is reached; inside the transaction of the insert.

    The lock makes the count exact: of two at the same moment the second sees the first one's run.
    """
    bound = tenant_limits.of(tenant_id).max_waiting
    if bound is None:
        return
    db.one("lock_session", f"{tenant_id} waits")
    row = db.one("waiting_runs", bound)
    if row is not None and row[0] >= bound:
        raise TooManyWaiting(bound)


def admit() -> list[tuple[UUID, UUID]]:
    """Give out the free slots: (tenant, run) of each run that got one and is to be moved now.

    Of several calls at once in a process one does the work of all: whoever comes while it is at work only says so.
    """
    admitted: list[tuple[UUID, UUID]] = []
    _asked.set()
    while _asked.is_set() and _admitting.acquire(blocking=False):
        try:
            _asked.clear()
            admitted += _give_out()
        finally:
            _admitting.release()
    return admitted


def _give_out() -> list[tuple[UUID, UUID]]:
    by_plan = {name: plan.max_concurrent for name, plan in plans.all_plans().items()}
    values = (json.dumps(by_plan), settings().concurrent_runs, settings().worker_threads, BATCH)
    with hot("keeper") as db:
        return [(row[0], row[1]) for row in db.all_locked("lock_admission", 0, "admit", *values, tenant=None)]
