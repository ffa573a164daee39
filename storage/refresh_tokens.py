"""Refresh tokens: a login is a family of them, each used once, and one used twice ends them all.

Whoever begins, rotates or ends a family holds the user's row until the end of the transaction. So of two that come with
the same token one rotates it and the other sees that it was used; and no token appears behind an end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from storage import audit
from storage.audit import Entry
from storage.identity_tables import RefreshToken, Tenant, User
from storage.postgres import keeper_session
from storage.tables import uuid7

BATCH = 5_000

Said = Callable[[UUID, UUID], Entry]  # (user, family) -> the entry of the record


class Refusal(Enum):
    """Why a token was not rotated. REUSED: it was used before, and its family has ended with this."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    ENDED = "ended"
    INACTIVE = "inactive"
    REUSED = "reused"


@dataclass(frozen=True, slots=True)
class Family:
    """A login: whose it is, and until when its newest token is taken."""

    tenant_id: UUID
    user_id: UUID
    id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Lives:
    """How long a token is taken unused, and how long a family lives whatever is used."""

    token: timedelta
    family: timedelta


def begin(
    db: Session, tenant_id: UUID, user_id: UUID, hashed: bytes, now: datetime, lives: Lives, source: str | None
) -> Family | None:
    """Start a family in the caller's transaction (the keeper's); None: the user or the tenant is not active."""
    if not lock_user(db, tenant_id, user_id):
        return None
    family = Family(tenant_id, user_id, uuid7(), now + min(lives.token, lives.family))
    _add(db, family, hashed, now, source)
    return family


def rotate(old: bytes, new: bytes, now: datetime, lives: Lives, source: str | None, reused: Said) -> Family | Refusal:
    """Use the token `old` and put `new` in its place. reused: the record's entry where that ends the family."""
    with keeper_session() as db:
        known = db.scalar(select(RefreshToken).where(RefreshToken.hash == old))
        if known is None:
            return Refusal.UNKNOWN
        active = lock_user(db, known.tenant_id, known.user_id)
        used = (
            update(RefreshToken)
            .where(
                RefreshToken.hash == old,
                RefreshToken.used_at.is_(None),
                RefreshToken.ended_at.is_(None),
                RefreshToken.expires_at > now,
            )
            .values(used_at=now)
            .returning(RefreshToken.id)
        )
        if not active:
            return Refusal.INACTIVE
        if db.scalar(used) is None:
            return _refused(db, known, now, reused)
        until = min(now + lives.token, _began(known.family) + lives.family)
        family = Family(known.tenant_id, known.user_id, known.family, until)
        _add(db, family, new, now, source)
        return family


def end_family(tenant_id: UUID, user_id: UUID, family: UUID, why: str, now: datetime, entry: Entry) -> bool:
    """End a login, and record it; False: it had ended."""
    with keeper_session(tenant_id) as db:
        lock_user(db, tenant_id, user_id)
        ended = _end(db, RefreshToken.family == family, why, now)
        if ended:
            audit.write(db, entry)
        return bool(ended)


def end_everywhere(tenant_id: UUID, user_id: UUID, why: str, now: datetime, entry: Entry) -> None:
    """End every login of a user, and record it."""
    with keeper_session(tenant_id) as db:
        end_all(db, user_id, why, now)
        audit.write(db, entry)


def end_all(db: Session, user_id: UUID, why: str, now: datetime) -> int:
    """End every login of a user in the caller's transaction (the keeper's); the number of tokens ended."""
    db.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    return _end(db, RefreshToken.user_id == user_id, why, now)


def remove_old(now: datetime) -> int:
    """Delete expired tokens, at most BATCH; how many. A family's newest expires last, so none comes to life again."""
    with keeper_session() as db:
        old = select(RefreshToken.id).where(RefreshToken.expires_at < now).limit(BATCH)
        gone = delete(RefreshToken).where(RefreshToken.id.in_(old)).returning(RefreshToken.id)
        return len(db.scalars(gone).all())


def lock_user(db: Session, tenant_id: UUID, user_id: UUID) -> bool:
    """Hold the user's row; whether user and tenant are active."""
    asked = (
        select(User.status, Tenant.status)
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(User.id == user_id, User.tenant_id == tenant_id)
        .with_for_update(key_share=True, of=User)
    )
    found = db.execute(asked).one_or_none()
    return found is not None and found[0] == found[1] == "active"


def _add(db: Session, family: Family, hashed: bytes, now: datetime, source: str | None) -> None:
    db.add(
        RefreshToken(
            id=uuid7(),
            tenant_id=family.tenant_id,
            user_id=family.user_id,
            family=family.id,
            hash=hashed,
            issued_at=now,
            expires_at=family.expires_at,
            source=source,
        )
    )
    db.flush()


def _refused(db: Session, known: RefreshToken, now: datetime, reused: Said) -> Refusal:
    """Why the token was not used; one that was used before ends its family."""
    db.refresh(known)  # as it is under the user's lock
    if known.ended_at is not None:
        return Refusal.ENDED
    if known.used_at is None:
        return Refusal.EXPIRED
    _end(db, RefreshToken.family == known.family, "reuse_detected", now)
    db.execute(select(func.set_config("baton.tenant", str(known.tenant_id), True)))
    audit.write(db, reused(known.user_id, known.family))
    return Refusal.REUSED


def _end(db: Session, which: ColumnElement[bool], why: str, now: datetime) -> int:
    ended = (
        update(RefreshToken)
        .where(which, RefreshToken.ended_at.is_(None))
        .values(ended_at=now, ended_why=why)
        .returning(RefreshToken.id)
    )
    return len(db.scalars(ended).all())


def _began(family: UUID) -> datetime:
    """When a family was started: its id is a UUIDv7."""
    return datetime.fromtimestamp((family.int >> 80) / 1000, UTC)
