"""Maintenance that beat fires: partitions ahead of time, old runs away, old slots away. Each is safe to run twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from celery import current_app
from sqlalchemy import text

from storage import retention
from storage.postgres import keeper_session

log = structlog.get_logger()

MONTHS_AHEAD = 3
SLOTS_KEPT = timedelta(days=7)


@current_app.task(name="upkeep.partitions", ignore_result=True)
def partitions() -> None:
    """Make the event partitions of the months to come."""
    with keeper_session() as db:
        db.execute(text("SELECT baton_make_partitions(:months)"), {"months": MONTHS_AHEAD})


@current_app.task(name="upkeep.retention", ignore_result=True)
def retire() -> None:
    """Delete finished runs that are older than the retention time, and beat's old slots."""
    now = datetime.now(UTC)
    log.info("retention", done=str(retention.run_once(now)))
    with keeper_session() as db:
        db.execute(text("DELETE FROM slots WHERE fire_at < :before"), {"before": now - SLOTS_KEPT})
