"""What the sweep and the senders write about segments: sent, not sent, lost from sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from storage.postgres import Unavailable, hot

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A segment whose lease nobody honours any more: the worker is dead or the deadline passed."""

    tenant_id: UUID
    run_id: UUID
    no: int
    token: UUID
    reason: str


def mark_unsent(unsent: Sequence[tuple[UUID, UUID, int]]) -> None:
    """Say of (tenant, run, segment no) that they were not sent; the sweep sends them. Never raises: it is a hint."""
    try:
        with hot() as db:
            for tenant_id, run_id, no in unsent:
                db.do("unsent", run_id, no, tenant=tenant_id, synced=False)
    except Unavailable as away:
        # Then the sweep finds them later, as messages that nobody took.
        log.warning("mark_unsent_failed", error=repr(away))
