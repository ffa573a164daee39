"""Group commit: the threads of a process hand their commits to whoever is writing, and one statement takes them all.

Leader and followers, no thread of its own: who comes while nobody writes leads a round; who comes meanwhile waits, and
the first of the waiting leads the next one. A round holds commits of one tenant (row-level security sees one) and of
different runs (a statement changes a row once). When everyone has an answer and the lead is handed on, the leader tells
the viewers of all of them in one message. A thread that waits for its commit takes no message meanwhile, so a slow
Postgres slows the taking and nothing piles up here.

Most of a statement's cost does not depend on how many commits it takes. So the leader waits a moment for those who have
just been answered: they run quick steps and come back soon. Alone, there is nobody to wait for: it is the plain commit.

A statement that fails is tried row by row, so that one bad row fails alone. When Postgres is away everyone of the round
is told, tries again, and recognises a commit that did happen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import faults
from storage import broker, checkpoints
from storage.checkpoints import Checkpoint, Committed, Lease
from storage.postgres import Unavailable, hot

MAX_ROUND = 64
COMPANY_SECONDS = 0.003


def _held() -> threading.Lock:
    """A lock that somebody else will release: a signal for one waiter, at a tenth of the price of an Event."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class _Entry:
    """One commit on its way: when `settled` is released it has an answer or an error, or it is its turn to lead."""

    lease: Lease
    checkpoint: Checkpoint
    tell: Callable[[Committed], broker.Command]
    settled: threading.Lock = field(default_factory=_held)
    answer: Committed | None = None
    error: BaseException | None = None
    leads: bool = False


class _GroupCommit:
    """The commits of one process. company: how many were committing when the last round ended."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: list[_Entry] = []
        self._writing = False
        self._company = 0

    def commit(
        self, lease: Lease, checkpoint: Checkpoint, tell: Callable[[Committed], broker.Command]
    ) -> Committed | None:
        """Commit a step together with whoever commits now; None: fenced. Raises Unavailable.

        tell: what the run's viewers hear of it.
        """
        mine = _Entry(lease, checkpoint, tell)
        with self._lock:
            self._waiting.append(mine)
            mine.leads = not self._writing
            self._writing = True
            if self._all_here():
                self._lock.notify()
        if not mine.leads:
            mine.settled.acquire()
        if mine.leads:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answer

    def _lead(self, mine: _Entry) -> None:
        """Write one round, one's own commit in it, then hand the lead to the first who waits."""
        with self._lock:
            self._lock.wait_for(self._all_here, COMPANY_SECONDS)
            entries = _round(mine, self._waiting)
            self._waiting = [one for one in self._waiting if one not in entries]
        try:
            faults.point("leader_before", mine.lease.key)
            _write(entries)
            faults.point("leader_after", mine.lease.key)
        except BaseException as broken:
            for one in entries:
                one.error = one.error or broken
        finally:
            with self._lock:
                following = self._waiting[0] if self._waiting else None
                self._writing = following is not None
                self._company = min(len(entries) + len(self._waiting), MAX_ROUND)
            for one in entries:
                one.settled.release()
            if following is not None:
                following.leads = True
                following.settled.release()
        broker.tell(*(one.tell(one.answer) for one in entries if one.answer is not None))

    def _all_here(self) -> bool:
        return len(self._waiting) >= self._company


def _round(mine: _Entry, waiting: list[_Entry]) -> list[_Entry]:
    """The commits of one statement: the leader's, and of the others the first of each run of its tenant."""
    chosen = {mine.lease.run_id: mine}
    for one in waiting:
        if one.lease.tenant_id == mine.lease.tenant_id and len(chosen) < MAX_ROUND:
            chosen.setdefault(one.lease.run_id, one)
    return sorted(chosen.values(), key=lambda one: one.lease.run_id)


def _write(entries: list[_Entry]) -> None:
    """Write the round and answer each of it."""
    with hot() as db:
        if len(entries) > 1:
            try:
                answers = checkpoints.commit_many(db, [(one.lease, one.checkpoint) for one in entries])
            except Unavailable:
                raise
            except Exception:
                pass  # one row is bad: below, each finds out for itself
            else:
                for one, answer in zip(entries, answers, strict=True):
                    one.answer = answer
                return
        for one in entries:
            try:
                one.answer = checkpoints.commit(db, one.lease, one.checkpoint)
            except Unavailable:
                raise
            except Exception as bad:
                one.error = bad


commit = _GroupCommit().commit
