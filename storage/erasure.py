"""Forgets a subject: all that stands of a user or a session in Postgres, in the blob store and in Redis.

    found = erasure.subject_of(tenant_id, erasure_id)    # None: it is done
    erasure.stop_runs(found); erasure.unfinished(found)  # the sweep ends what is stopped
    while erasure.erase_some_runs(found): ...
    erasure.erase_sessions(found); erasure.erase_answers(found); erasure.erase_user(found)
    erasure.finish(found, entry)

Every function may be called again at any time, after a crash in its middle too. What is counted is counted in the
transaction that deletes it, so that the receipt is right whatever happened in between. All of it runs as the keeper's
role, so each statement names the tenant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import redis
from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session as Db
from sqlalchemy.orm import aliased

from storage import audit, blobs, broker, directory, model_cache, retention
from storage.audit_tables import Erasure
from storage.identity_tables import ApiKey, GroupMember, RefreshToken, User, UserPassword
from storage.model_tables import SemanticAnswer
from storage.postgres import keeper_session
from storage.sessions import MEMORY
from storage.tables import ACTIVE_RUN_STATUSES, Run, Segment, Session, Turn

CHAIN = "erasure"  # its own runs hold nothing of the subject, and are never erased
BATCH_RUNS = 100
SETTLED = timedelta(seconds=2)  # a run's end is told to Redis right after its commit


class RedisAway(Exception):
    """Redis does not answer: what it holds of the subject could not be deleted."""


@dataclass(frozen=True)
class Subject:
    """Whom an erasure is about: a user as clients name them (a `users.id` too), or a session."""

    erasure_id: UUID
    tenant_id: UUID
    user_id: str | None
    session_id: str | None
    hash: str

    @property
    def alias(self) -> str:
        """What stands instead of the subject where something must."""
        return f"erased-{self.hash.rpartition(':')[2][:16]}"


def described(user_id: str | None, session_id: str | None) -> str:
    """A subject as the column `erasures.subject` holds it while the erasure runs."""
    return json.dumps({"user_id": user_id, "session_id": session_id}, ensure_ascii=False)


def subject_of(tenant_id: UUID, erasure_id: UUID) -> Subject | None:
    """Whom it is about; None where it is done, or was never asked for."""
    with keeper_session() as db:
        row = db.scalar(_erasure(tenant_id, erasure_id))
        if row is None or row.subject is None:
            return None
        told = json.loads(row.subject)
        return Subject(erasure_id, tenant_id, told["user_id"], told["session_id"], row.subject_hash.decode())


def stop_runs(subject: Subject) -> None:
    """Ask every unfinished run of the subject to stop, as a cancel does."""
    with keeper_session() as db:
        asked = update(Run).where(Run.id.in_(_runs(subject)), Run.status.in_(ACTIVE_RUN_STATUSES), Run.stop.is_(None))
        stopped = db.execute(asked.values(stop="cancelled", stop_at=func.now()).returning(Run.id)).all()
        _count(db, subject, runs_cancelled=len(stopped))


def unfinished(subject: Subject) -> int:
    """How many runs of the subject are not final, became so in this moment, or have a node that may still be at work.

    A node that does not stop is cut off: its segment is closed and keeps its token. What it writes then (a blob, the
    text of its model's call) would outlive the run, so it is waited for until its deadline.
    """
    fresh = Run.finished_at > func.now() - SETTLED
    cut_off = (~Segment.open, Segment.token.is_not(None), Segment.deadline_at > func.now())
    at_work = exists().where(Segment.run_id == Run.id, *cut_off)
    with keeper_session() as db:
        waited = or_(Run.status.in_(ACTIVE_RUN_STATUSES), fresh, at_work)
        return int(db.scalar(select(func.count()).where(Run.id.in_(_runs(subject)), waited)) or 0)


def erase_some_runs(subject: Subject) -> bool:
    """Delete some of the subject's final runs whole: blobs, results in Redis, then every row and their calls' texts.

    False: there was none left. Newest first: a fork goes before the run that it is found by. Raises RedisAway, and what
    the blob store raises.
    """
    final = Run.status.not_in(ACTIVE_RUN_STATUSES)
    with keeper_session() as db:
        asked = select(Run.id).where(Run.id.in_(_runs(subject)), final).order_by(Run.id.desc()).limit(BATCH_RUNS)
        batch = list(db.scalars(asked.with_for_update()))
        if not batch:
            return False
        for run_id in batch:
            blobs.delete_run(subject.tenant_id, run_id)
        _forget_results(batch)
        _forget_turns(db, subject, batch)
        _count(db, subject, runs=retention.remove_runs(db, batch))
    return True


def erase_sessions(subject: Subject) -> None:
    """Delete the subject's sessions with their turns and memory."""
    with keeper_session() as db:
        ids = list(db.scalars(_sessions(subject)))
        of_tenant = Turn.tenant_id == subject.tenant_id
        turns = db.execute(delete(Turn).where(of_tenant, Turn.session_id.in_(ids)).returning(Turn.no)).all()
        gone = delete(Session).where(Session.tenant_id == subject.tenant_id, Session.id.in_(ids))
        sessions = db.execute(gone.returning(Session.id)).all()
        _count(db, subject, turns=len(turns), sessions=len(sessions))


def erase_answers(subject: Subject) -> None:
    """Empty the tenant's caches of model answers: nobody can say whose question an answer found by meaning came from.

    Raises RedisAway.
    """
    if (cached := model_cache.forget(subject.tenant_id)) is None:
        raise RedisAway("the cached answers of models could not be deleted")
    with keeper_session() as db:
        gone = delete(SemanticAnswer).where(SemanticAnswer.tenant_id == subject.tenant_id)
        found = db.execute(gone.returning(SemanticAnswer.id)).all()
        _count(db, subject, cached_answers=cached + len(found))


def erase_user(subject: Subject) -> None:
    """Disable the user whose `users.id` this is, end every way in, and take away all that is personal of the row.

    The id stays: it names nobody any more. Raises LastOwner.
    """
    user_id = subject.user_id and _uuid(subject.user_id)
    if not user_id:
        return
    with directory.change(subject.tenant_id, proofs=True) as db:
        row = db.scalar(select(User).where(User.tenant_id == subject.tenant_id, User.id == user_id))
        if row is None or row.name == subject.alias:
            return
        row.name, row.email = subject.alias, f"{subject.alias}@invalid"
        row.email_key, row.status, row.roles = row.email, "disabled", []
        row.external_issuer = row.external_subject = row.last_login_at = None
        for table in (UserPassword, GroupMember, RefreshToken):
            db.execute(delete(table).where(table.user_id == user_id))
        keys = update(ApiKey).where(ApiKey.tenant_id == subject.tenant_id, ApiKey.user_id == user_id)
        db.execute(keys.values(name=subject.alias, revoked_at=func.coalesce(ApiKey.revoked_at, func.now())))
        acted = update(Run).where(Run.tenant_id == subject.tenant_id, Run.actor == f"user:{user_id}")
        db.execute(acted.values(actor=f"user:{subject.alias}"))
        _count(db, subject, users=1)


def remains(subject: Subject) -> bool:
    """Whether something of the subject is there, perhaps since a moment ago."""
    with keeper_session() as db:
        found = or_(exists(_runs(subject)), exists(_sessions(subject)))
        return db.scalar(select(found)) is True


def finish(subject: Subject, entry: audit.Entry) -> None:
    """Leave the receipt and forget whom it is about, with the entry of the record; once, however often it is called.

    The entry's `after` gets the counts. Earlier erasures of the same subject whose run was given up are done with it:
    their rows would name the subject for ever.
    """
    at_work = exists().where(Run.id == Erasure.run_id, Run.status.in_(ACTIVE_RUN_STATUSES))
    same = (Erasure.tenant_id == subject.tenant_id, Erasure.subject_hash == subject.hash.encode())
    asked = select(Erasure).where(*same, Erasure.status == "requested", or_(Erasure.id == subject.erasure_id, ~at_work))
    with keeper_session(audited=subject.tenant_id) as db:
        rows = list(db.scalars(asked.order_by(Erasure.id).with_for_update()))
        if not any(row.id == subject.erasure_id for row in rows):
            return
        for row in rows:
            row.status, row.subject, row.done_at = "done", None, func.now()
            after = {**(entry.after or {}), "counts": row.counts or {}}
            audit.write(db, replace(entry, resource=f"erasure:{row.id}", after=after))


def _erasure(tenant_id: UUID, erasure_id: UUID) -> Any:
    return select(Erasure).where(Erasure.id == erasure_id, Erasure.tenant_id == tenant_id)


def _sessions(subject: Subject) -> Any:
    whose = Session.user_id == subject.user_id if subject.user_id is not None else Session.id == subject.session_id
    return select(Session.id).where(Session.tenant_id == subject.tenant_id, whose)


def _runs(subject: Subject) -> Any:
    """The ids of the subject's runs: of its sessions, for it, by it where for nobody else; and all forks of them."""
    own: list[ColumnElement[bool]] = [Run.session_id.in_(_sessions(subject))]
    if subject.user_id is not None:
        by_it = (Run.actor == f"user:{_uuid(subject.user_id)}") & Run.user_id.is_(None)
        of_other = exists().where(
            Session.tenant_id == subject.tenant_id, Session.id == Run.session_id, Session.user_id != subject.user_id
        )
        own += [Run.user_id == subject.user_id, by_it & ~of_other]
    else:
        own.append(Run.session_id == subject.session_id)
    of_tenant = (Run.tenant_id == subject.tenant_id, Run.chain != CHAIN)
    found = select(Run.id).where(*of_tenant, or_(*own)).cte("found", recursive=True)
    child = aliased(Run)
    forks = select(child.id).where(child.tenant_id == subject.tenant_id, child.parent_run_id == found.c.id)
    return select(found.union(forks).c.id)


def _forget_turns(db: Db, subject: Subject, run_ids: list[UUID]) -> None:
    """Delete what these runs said in sessions, those of others too, whose memory may tell of it and is forgotten."""
    gone = delete(Turn).where(Turn.tenant_id == subject.tenant_id, Turn.run_id.in_(run_ids)).returning(Turn.session_id)
    touched = list(db.scalars(gone))
    rows = select(Session).where(Session.tenant_id == subject.tenant_id, Session.id.in_(set(touched)))
    for row in db.scalars(rows.with_for_update()):
        row.data = {name: value for name, value in (row.data or {}).items() if name != MEMORY}
    _count(db, subject, turns=len(touched))


def _forget_results(run_ids: list[UUID]) -> None:
    """Delete what Celery clients could read of the runs' ends."""
    try:
        broker.client().unlink(*(broker.result_key(run_id) for run_id in run_ids))
    except (redis.RedisError, OSError) as away:
        raise RedisAway(f"the results of runs could not be deleted: {away!r}") from away


def _count(db: Db, subject: Subject, **gone: int) -> None:
    """Add to the receipt in the transaction that deletes."""
    row = db.scalar(_erasure(subject.tenant_id, subject.erasure_id).with_for_update())
    counts = dict(row.counts or {})
    for kind, number in gone.items():
        counts[kind] = counts.get(kind, 0) + number
    row.counts = counts


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
