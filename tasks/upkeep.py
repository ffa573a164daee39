"""Maintenance that beat fires: partitions ahead of time, old runs away, lost model calls settled. Safe to run twice."""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from celery import current_app

from storage import model_calls, retention

log = structlog.get_logger()

MAX_BATCHES = 20
LOST_SECONDS = 900.0  # longer than any call of a model may take


@current_app.task(name="upkeep.partitions", ignore_result=True)
def partitions() -> None:
    """Make the partitions of the months to come."""
    log.info("partitions_made", names=list(retention.make_partitions()))


@current_app.task(name="upkeep.retention", ignore_result=True)
def retire() -> None:
    """Delete finished runs that are older than the retention time, batch by batch; the next slot does the rest."""
    for _ in range(MAX_BATCHES):
        removed = retention.run_once(datetime.now(UTC))
        log.info("runs_retired", runs=removed.runs, partitions=list(removed.partitions), more=removed.more)
        if not removed.more:
            return


@current_app.task(name="upkeep.lost_calls", ignore_result=True)
def lost_calls() -> None:
    """Settle the model calls of workers that died: what they had reserved counts as used."""
    if settled := model_calls.settle_lost(LOST_SECONDS):
        log.warning("model_calls_lost", calls=settled)
