"""What a login by password needs: the account under a name, and the count of failures under that name and address.

An attempt is counted as a failure before its password is looked at, in the one statement that also says whether it is
let through: of fifty that come at once no more are let through than of fifty that come one after the other. A login
that succeeds takes its count back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, case, delete, func, literal, null, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from storage.identity_tables import LoginFailure, Tenant, User, UserPassword
from storage.postgres import keeper_session

BATCH = 5_000
MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Account:
    """Who is meant by a name. user_id, password_hash: None where there is no such user, or none with a password."""

    tenant_id: UUID | None
    user_id: UUID | None = None
    email: str = ""
    password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Failures in a row under one key. After `free` of them each next one locks it: 1 s, doubling, up to `most`.

    forgotten_after: without a failure for so long it begins anew.
    """

    tenant_id: UUID
    name_hash: bytes
    free: int
    most: timedelta
    forgotten_after: timedelta


def find(tenant: str, email_key: str) -> Account:
    """The account of this address in the tenant of this name, whatever its status."""
    asked = (
        select(Tenant.id, User.id, User.email, UserPassword.hash)
        .outerjoin(User, (User.tenant_id == Tenant.id) & (User.email_key == email_key))
        .outerjoin(UserPassword, UserPassword.user_id == User.id)
        .where(Tenant.name == tenant)
    )
    with keeper_session() as db:
        row = db.execute(asked).one_or_none()
    return Account(None) if row is None else Account(row[0], row[1], row[2] or "", row[3])


def of_user(tenant_id: UUID, user_id: UUID) -> tuple[str, Account] | None:
    """(tenant's name, account) of a user."""
    asked = (
        select(Tenant.name, User.email, UserPassword.hash)
        .join(User, User.tenant_id == Tenant.id)
        .outerjoin(UserPassword, UserPassword.user_id == User.id)
        .where(Tenant.id == tenant_id, User.id == user_id)
    )
    with keeper_session() as db:
        row = db.execute(asked).one_or_none()
    return None if row is None else (row[0], Account(tenant_id, user_id, row[1], row[2]))


def attempt(counts: Sequence[Count], now: datetime) -> float | None:
    """Count an attempt under each key, the name last, or under none where one is locked; the seconds until one is let
    in, None: this one is.
    """
    waits = []
    with keeper_session() as db:
        for count in counts:
            if db.scalar(_counted(count, now)) is None:
                until = db.scalar(select(LoginFailure.locked_until).where(*_key(count)))
                waits.append(max(1.0, (until - now).total_seconds()) if until else 1.0)
        if waits:
            db.rollback()
    return max(waits, default=None)


def succeeded(db: Session, name: Count, others: Sequence[Count]) -> None:
    """Forget the failures under the name, and this attempt under the other keys.

    In the order of `attempt`, the name last: the other way round two logins of one user would wait for each other.
    """
    for other in others:
        fewer = func.greatest(LoginFailure.failures - 1, 0)
        db.execute(update(LoginFailure).where(*_key(other)).values(failures=fewer))
    db.execute(delete(LoginFailure).where(*_key(name)))


def password_hash(db: Session, user_id: UUID) -> str | None:
    """The hash of a user's password as this transaction sees it."""
    return db.scalar(select(UserPassword.hash).where(UserPassword.user_id == user_id))


def set_password_hash(db: Session, tenant_id: UUID, user_id: UUID, hashed: str, now: datetime) -> None:
    """Keep a user's password as this hash."""
    row = {"hash": hashed, "changed_at": now}
    said = insert(UserPassword).values(user_id=user_id, tenant_id=tenant_id, **row)
    db.execute(said.on_conflict_do_update(index_elements=["user_id"], set_=row))


def note_login(db: Session, user_id: UUID, now: datetime) -> None:
    """Note when a user last logged in."""
    db.execute(update(User).where(User.id == user_id).values(last_login_at=now))


def remove_old(now: datetime, older_than: timedelta) -> int:
    """Delete counts without a failure since then, at most BATCH; how many."""
    with keeper_session() as db:
        key = (LoginFailure.tenant_id, LoginFailure.name_hash)
        old = select(*key).where(LoginFailure.last_at < now - older_than).limit(BATCH)
        gone = delete(LoginFailure).where(tuple_(*key).in_(old)).returning(LoginFailure.failures)
        return len(db.scalars(gone).all())


def _counted(count: Count, now: datetime) -> ReturningInsert[tuple[int]]:
    """Counts one more failure, unless the key is locked: then it returns no row."""
    stale = LoginFailure.last_at < now - count.forgotten_after
    failures = case((stale, 1), else_=LoginFailure.failures + 1)
    doublings = func.least(failures - count.free - 1, MOST_DOUBLINGS)
    seconds = func.least(count.most.total_seconds(), func.power(2.0, doublings))
    until = literal(now, DateTime(timezone=True)) + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    return (
        insert(LoginFailure)
        .values(tenant_id=count.tenant_id, name_hash=count.name_hash, failures=1, last_at=now)
        .on_conflict_do_update(
            index_elements=["tenant_id", "name_hash"],
            set_={
                "failures": failures,
                "last_at": now,
                "locked_until": case((failures > count.free, until), else_=null()),
            },
            where=or_(LoginFailure.locked_until.is_(None), LoginFailure.locked_until <= now),
        )
        .returning(LoginFailure.failures)
    )


def _key(count: Count) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LoginFailure.tenant_id == count.tenant_id, LoginFailure.name_hash == count.name_hash
