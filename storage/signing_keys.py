"""The key pairs that sign access tokens: one table for the whole installation, read by web processes once a minute."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from storage.identity_tables import SigningKey
from storage.postgres import keeper_session

_ONE_MAKES_KEYS = 0x6B657973  # of pg_advisory_xact_lock


@dataclass(frozen=True, slots=True)
class KeyRow:
    """kid: its name in tokens; public: the JWK as shown; private: PKCS 8, encrypted; SigningKey tells the times."""

    kid: str
    public: dict[str, Any]
    private: bytes
    created_at: datetime
    signs_from: datetime
    shown_until: datetime | None


def shown(now: datetime) -> list[KeyRow]:
    """The keys whose tokens are taken, oldest first."""
    with keeper_session() as db:
        return _shown(db, now)


def replace(
    kid: str,
    public: dict[str, Any],
    private: bytes,
    *,
    now: datetime,
    signs_from: datetime,
    others_until: datetime,
    unless_since: datetime | None = None,
) -> bool:
    """Add a key and show the others until `others_until` only; False, and nothing: one was made after `unless_since`.

    Safe in several processes at once.
    """
    with keeper_session() as db:
        db.execute(select(func.pg_advisory_xact_lock(_ONE_MAKES_KEYS)))
        newest = db.scalar(select(func.max(SigningKey.created_at)))
        if unless_since is not None and newest is not None and newest > unless_since:
            return False
        still_shown = or_(SigningKey.shown_until.is_(None), SigningKey.shown_until > others_until)
        db.execute(update(SigningKey).where(still_shown).values(shown_until=others_until))
        db.add(SigningKey(kid=kid, public=public, private=private, created_at=now, signs_from=signs_from))
        return True


def remove_old(now: datetime) -> int:
    """Delete the keys that are shown no more; how many."""
    with keeper_session() as db:
        gone = delete(SigningKey).where(SigningKey.shown_until < now).returning(SigningKey.kid)
        return len(db.scalars(gone).all())


def _shown(db: Session, now: datetime) -> list[KeyRow]:
    rows = db.scalars(
        select(SigningKey)
        .where(or_(SigningKey.shown_until.is_(None), SigningKey.shown_until > now))
        .order_by(SigningKey.signs_from, SigningKey.kid)
    )
    return [
        KeyRow(row.kid, row.public, bytes(row.private), row.created_at, row.signs_from, row.shown_until) for row in rows
    ]
