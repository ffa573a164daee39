"""Celery's task events in batches: one message to Redis for all that happened in a tenth of a second.

Celery sends them at every turn of the worker's loop, which was a quarter of a busy worker's time. Flower sees the same
events, a moment later; what a killed worker had not sent yet is not shown. Progress never depends on them.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps

FLUSH_SECONDS = 0.1
MOST_EVENTS = 1000


class BatchedEvents(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of the worker's consumer: after each (re)connection the new dispatcher is told to wait."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Flush by the clock instead of by the event."""
        dispatcher = consumer.event_dispatcher
        if consumer.hub is None or dispatcher is None:
            return
        dispatcher.on_send_buffered, dispatcher.buffer_limit = None, MOST_EVENTS
        self._timer = consumer.timer.call_repeatedly(FLUSH_SECONDS, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if consumer.event_dispatcher is not None:
            try:
                consumer.event_dispatcher.flush()
            except (OSError, consumer.connection_errors):
                return  # Redis is away; these events are lost, as all would be
