"""Maintenance that beat fires: partitions ahead of time, old runs away, lost model calls settled. Safe to run twice.

A worker does it for a message that carries a slot with our signature, once a slot: who can only write to Redis can have
nothing done. By hand: `python -m tasks upkeep.retention` does it in the process that is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from celery import current_app

from chains.message import ForgedMessage, read_slot
from identity import leftovers
from storage import audit_anchors, model_calls, retention
from storage.postgres import Unavailable
from tasks.beat import take_slot

log = structlog.get_logger()

LATEST = timedelta(days=1)  # an older slot is not caught up; its row, which stops a replay, lives seven days

MAX_BATCHES = 20
LOST_SECONDS = 900.0  # longer than any call of a model may take


def maintenance(name: str) -> Callable[[Callable[[], None]], Any]:
    """Make the decorated function a task of this name, which beat's schedule or a person starts."""

    def register(work: Callable[[], None]) -> Any:
        @current_app.task(name=name, bind=True, ignore_result=True)
        def execute(self: Any, **said: Any) -> None:
            if self.request.called_directly or _is_due(name, said):
                work()

        return execute

    return register


def _is_due(task: str, said: dict[str, Any]) -> bool:
    """Whether the message is ours, in time, and the first one for its slot."""
    try:
        slot = read_slot(task, said)
        late = datetime.now(UTC) - slot.fire_at
        due = late < LATEST and take_slot(task, slot.fire_at)
    except ForgedMessage as forged:
        log.error("message_refused", task=task, reason=str(forged))
        return False
    except Unavailable as away:
        log.warning("slot_skipped", schedule=task, error=repr(away))
        return False
    if not due:
        log.info("slot_is_over", task=task, late_seconds=round(late.total_seconds()))
    return due


@maintenance("upkeep.partitions")
def partitions() -> None:
    """Make the partitions of the months to come."""
    log.info("partitions_made", names=list(retention.make_partitions()))


@maintenance("upkeep.retention")
def retire() -> None:
    """Delete finished runs that are older than the retention time, batch by batch; the next slot does the rest."""
    for _ in range(MAX_BATCHES):
        removed = retention.run_once(datetime.now(UTC))
        log.info("runs_retired", runs=removed.runs, partitions=list(removed.partitions), more=removed.more)
        if not removed.more:
            return


@maintenance("upkeep.lost_calls")
def lost_calls() -> None:
    """Settle the model calls of workers that died: what they had reserved counts as used."""
    if settled := model_calls.settle_lost(LOST_SECONDS):
        log.warning("model_calls_lost", calls=settled)


@maintenance("upkeep.audit_anchors")
def anchors() -> None:
    """Write down where each tenant's record ends today."""
    log.info("audit_anchored", tenants=audit_anchors.make(datetime.now(UTC).date()))


@maintenance("upkeep.identity")
def expired_proofs() -> None:
    """Remove expired tokens and old counts of failed logins; replace the signing key where it is due."""
    log.info("proofs_removed", **asdict(leftovers.run_once(datetime.now(UTC))))
