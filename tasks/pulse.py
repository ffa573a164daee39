"""The pulse of a worker process: it says every second that the process lives, and tells running nodes to stop.

A thread with a connection of its own, which holds the worker's advisory lock: the lock goes when the process goes.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog

from settings import settings
from storage import workers
from storage.postgres import Hot, Unavailable, dedicated
from tasks.worker import Worker

log = structlog.get_logger()

PULSE_SECONDS = 1.0


class Pulse(threading.Thread):
    """Heartbeat and stop signals of one worker, once a second, until `finish`."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="pulse", daemon=True)
        self.worker = worker
        self._end = threading.Event()
        self._db: Hot | None = None
        self._locked = False

    def begin(self, patience_seconds: float = 60.0) -> None:
        """The first beat, before any message is taken; waits for Postgres. Raises what it saw last after that."""
        until = time.monotonic() + patience_seconds
        while True:
            try:
                self.beat()
                break
            except Unavailable as away:
                self._lose_connection(away)
                if time.monotonic() > until:
                    raise
                time.sleep(PULSE_SECONDS)
        self.start()

    def run(self) -> None:
        while not self._end.wait(PULSE_SECONDS):
            try:
                self.beat()
            except Unavailable as away:
                self._lose_connection(away)
            except Exception:
                log.exception("pulse_failed")

    def beat(self) -> None:
        """One round: I live; which of my nodes must stop?"""
        if self._db is None:
            self._db = dedicated("keeper")
        me = self.worker
        # A connection that broke may hold the lock for some seconds more; until it is ours, we ask again.
        self._locked = self._locked or bool((self._db.one("hold_lock", me.lock_key) or [False])[0])
        self._db.do("heartbeat", me.id, me.name, me.lock_key, settings().worker_alive_seconds, synced=False)
        running = dict(me.running)
        if running:
            held = workers.still_mine(self._db, me.id, {token: ctx.lease for token, ctx in running.items()})
            for token, ctx in running.items():
                ctx.stop_asked = ctx.stop_asked or token not in held

    def finish(self) -> None:
        """The worker ends in good order: its row goes at once, so that nobody waits for it."""
        self._end.set()
        try:
            db = self._db or dedicated("keeper")
            db.do("forget_worker", self.worker.id)
            db.close()
        except Unavailable as away:
            log.warning("forget_worker_failed", error=repr(away))

    def _lose_connection(self, away: Any) -> None:
        log.warning("pulse_lost_postgres", error=repr(away))
        if self._db is not None:
            self._db.close()
        self._db, self._locked = None, False
