"""The sweep: once a second every worker process looks for what stands still, and sets it going again.

    dead workers, passed deadlines        the lease is taken back, the step runs again (chains/lose.py)
    segments never sent                   sent
    messages that nobody took             sent again: the queue is empty, or something sent later runs already
    a broker that lost its memory         every open segment becomes unsent
    due waits, deadlines, stops           the run is moved (chains/advance.py)
    free slots, runs that wait for one    given out (chains/admission.py)
    running runs with no open segment     the same; a backstop

It never goes through Celery: a sweep that is itself a task would wait behind the very workers or broker that it should
rescue. Several sweeps share the work by SKIP LOCKED, and every one of their deeds is harmless when done twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from uuid import UUID, uuid4

import structlog

import metrics
from chains.advance import advance, deliver, move_admitted
from chains.lose import lose
from chains.queues import QUEUES
from chains.send import Segment, send
from settings import settings
from storage import broker, workers
from storage.postgres import Hot, Unavailable, dedicated
from tasks.worker import Worker

log = structlog.get_logger()

BATCH = 500
BACKSTOP_EVERY = 5
UNLOCKED_SWEEPS = 2


class Sweep(threading.Thread):
    """The thread that sweeps. Its memory: who was seen without a lock, and until when nobody may be declared dead."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(name="sweep", daemon=True)
        self.worker = worker
        self._end = threading.Event()
        self._db: Hot | None = None
        self._unlocked: dict[UUID, int] = {}
        self._last_round = 0.0
        self._judge_from = 0.0
        self._rounds = 0

    def run(self) -> None:
        while not self._end.wait(settings().sweep_seconds):
            with metrics.SWEEP_SECONDS.time():
                self._round()

    def finish(self) -> None:
        """No further round begins."""
        self._end.set()

    def _round(self) -> None:
        try:
            if self._db is None:
                self._db = dedicated("keeper")
                self._wait_before_judging("new connection")
            self.run_once(self._db)
        except Unavailable as away:
            log.warning("sweep_lost_postgres", error=repr(away))
            if self._db is not None:
                self._db.close()
            self._db = None
        except Exception:
            log.exception("sweep_failed")

    def run_once(self, db: Hot) -> None:
        """One sweep."""
        now = time.monotonic()
        if now - self._last_round > settings().sweep_seconds + 3.0:
            self._wait_before_judging("gap")
        self._last_round, self._rounds = now, self._rounds + 1
        self._take_back(db)
        self._check_memory(db)
        self._send(db)
        self._move(db.all("runs_to_move", BATCH))
        move_admitted()
        if self._rounds % BACKSTOP_EVERY == 0:
            self._move(db.all("runs_without_segment", BATCH))

    def _wait_before_judging(self, why: str) -> None:
        """Postgres was away, or this process was: the others could not renew either, so give them one lease's time."""
        first = self._last_round == 0.0
        self._judge_from = time.monotonic() + (0.0 if first else settings().worker_alive_seconds)
        self._unlocked.clear()
        log.debug("sweep_waits", why=why)

    def _take_back(self, db: Hot) -> None:
        if time.monotonic() < self._judge_from:
            return
        dead = list(self._dead(db))
        for held in workers.held_by_nobody(db, dead, BATCH):
            if lose(held):
                said = {"tenant_id": str(held.tenant_id), "run": str(held.run_id)}
                log.warning("step_rescued", **said, segment=held.no, reason=held.reason)
        if dead:
            db.do("forget_dead_workers", dead)

    def _dead(self, db: Hot) -> Iterable[UUID]:
        """Workers whose time is up, and those whose lock was free in two sweeps running."""
        found = workers.seen(db)
        unlocked = {one.id: self._unlocked.get(one.id, 0) + 1 for one in found if one.unlocked}
        self._unlocked = unlocked
        for one in found:
            if one.id != self.worker.id and (one.expired or unlocked.get(one.id, 0) >= UNLOCKED_SWEEPS):
                yield one.id

    def _check_memory(self, db: Hot) -> None:
        """The same marker stands in Postgres and in Redis; when Redis has another or none, it has lost its queues."""
        answered, remembered = broker.read_marker()
        if not answered:
            return
        row = db.one("broker_marker", str(uuid4()))
        if row is None:
            return  # another sweep wrote the very first marker in this moment
        trusted = str(row[0])
        if remembered == trusted:
            return
        fresh = str(uuid4())
        mine = db.one("broker_forgot", trusted, fresh)
        if mine and mine[0]:
            log.warning("broker_lost_its_memory", unsent=mine[1])
            broker.write_marker(fresh)

    def _send(self, db: Hot) -> None:
        due = db.all("take_unsent", BATCH)
        lengths = broker.queue_lengths(QUEUES)
        if lengths is not None:
            empty = [queue for queue, length in lengths.items() if length == 0]
            lost = db.all("take_lost", empty, settings().resend_after_seconds, BATCH)
            for row in lost:
                metrics.RESCUES.labels(reason="message_lost").inc()
                log.info("message_lost", tenant_id=str(row[0]), run=str(row[1]), segment=row[2], sends=row[8])
            due += lost
        send(_segment(*row[:8]) for row in due)

    def _move(self, rows: Iterable[tuple[UUID, UUID]]) -> None:
        for tenant_id, run_id in rows:
            try:
                deliver(advance(tenant_id, run_id))
            except Unavailable:
                raise
            except Exception:  # a run that cannot move, because of a bug in its chain, holds up no other
                log.exception("run_not_moved", tenant_id=str(tenant_id), run=str(run_id))


def _segment(
    tenant_id: UUID, run_id: UUID, no: int, pos: int, keys: list[str], nodes: list[str], attempt: int, queue: str
) -> Segment:
    return Segment(tenant_id, run_id, no, pos, tuple(keys), tuple(nodes), attempt, queue)
