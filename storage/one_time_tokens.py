"""Tokens that open one thing once: whoever takes one deletes it, so of two that come with it one gets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select

from storage.identity_tables import OneTimeToken
from storage.postgres import keeper_session

BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What a token was made for: its tenant, and what whoever made it put beside it."""

    tenant_id: UUID
    data: Any


def add(hashed: bytes, tenant_id: UUID, kind: str, data: Any, expires_at: datetime) -> None:
    """Keep a token's hash; kind: one of TOKEN_KINDS; data: JSON-able."""
    with keeper_session() as db:
        db.add(OneTimeToken(hash=hashed, tenant_id=tenant_id, kind=kind, data=data, expires_at=expires_at))


def take(hashed: bytes, kind: str, now: datetime) -> Taken | None:
    """Use up a token of this kind; None: there is none, or it has expired."""
    with keeper_session() as db:
        taken = db.execute(
            delete(OneTimeToken)
            .where(OneTimeToken.hash == hashed, OneTimeToken.kind == kind)
            .returning(OneTimeToken.tenant_id, OneTimeToken.data, OneTimeToken.expires_at)
        ).one_or_none()
    return Taken(taken.tenant_id, taken.data) if taken is not None and taken.expires_at > now else None


def remove_old(now: datetime) -> int:
    """Delete expired tokens, at most BATCH; how many."""
    with keeper_session() as db:
        old = select(OneTimeToken.hash).where(OneTimeToken.expires_at < now).limit(BATCH)
        gone = delete(OneTimeToken).where(OneTimeToken.hash.in_(old)).returning(OneTimeToken.hash)
        return len(db.scalars(gone).all())
