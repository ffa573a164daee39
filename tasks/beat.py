"""A beat of which two may run: a slot fires for the one who writes its row first, in a signed message."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import structlog
from celery.beat import PersistentScheduler, ScheduleEntry

from chains.message import Slot, shown
from storage.postgres import Unavailable, hot

log = structlog.get_logger()


def take_slot(schedule: str, fire_at: datetime) -> bool:
    """Whether this slot is ours to fire: its row did not exist yet."""
    with hot("keeper") as db:
        return db.do("take_slot", schedule, fire_at) == 1


class SlotScheduler(PersistentScheduler):  # type: ignore[misc]
    """Celery's own scheduler, which asks for the slot before it sends. A minute is the finest slot."""

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Send the entry's task if its slot is free; Postgres being away skips a slot, it never fires one twice."""
        fire_at = datetime.now(UTC).replace(second=0, microsecond=0)
        try:
            mine = take_slot(entry.name, fire_at)
        except Unavailable as away:
            log.warning("slot_skipped", schedule=entry.name, error=repr(away))
            mine = False
        if advance:
            self.reserve(entry)
        return super().apply_async(_signed(entry, fire_at), producer, advance=False, **options) if mine else None


def _signed(entry: ScheduleEntry, fire_at: datetime) -> ScheduleEntry:
    """The entry as it is sent: its task believes no message without our signature (tasks/upkeep.py)."""
    signed = copy.copy(entry)
    signed.kwargs = Slot(fire_at, entry.task).kwargs()
    signed.options = {**entry.options, "kwargsrepr": shown(signed.kwargs)}
    return signed
