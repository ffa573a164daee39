"""The API keys of a tenant as rows: listed, made, replaced and revoked. `identity/keys.py` says what a key opens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from errors import NotFound
from storage.identity_tables import ApiKey
from storage.postgres import session
from storage.reads.cursors import decode, encode
from storage.tables import uuid7

Json = dict[str, Any]

HIDDEN = ("tenant_id", "hash")


def page(tenant_id: UUID, *, user_id: UUID | None = None, limit: int = 50, cursor: str | None = None) -> Json:
    """{"items": [keys, newest first], "next_cursor": str|None}, revoked and expired ones too. user_id: only theirs."""
    asked = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
    if user_id is not None:
        asked = asked.where(ApiKey.user_id == user_id)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(ApiKey.id < place[0])
    with session(tenant_id) as db:
        rows = list(db.scalars(asked.order_by(ApiKey.id.desc()).limit(limit + 1)))
    items = [public(row) for row in rows[:limit]]
    return {"items": items, "next_cursor": encode(items[-1]["id"]) if len(rows) > limit else None}


def found(db: Session, tenant_id: UUID, key_id: UUID, user_id: UUID | None = None) -> ApiKey:
    """The key's row in this transaction. Raises NotFound; also where user_id is named and it is another's."""
    asked = select(ApiKey).where(ApiKey.tenant_id == tenant_id, ApiKey.id == key_id)
    if user_id is not None:
        asked = asked.where(ApiKey.user_id == user_id)
    row = db.scalar(asked)
    if row is None:
        raise NotFound("There is no key of this id.")
    return row


def of_prefix(tenant_id: UUID, prefix: str) -> list[UUID]:
    """The ids of the keys with this prefix that are not revoked."""
    with session(tenant_id) as db:
        live = (ApiKey.tenant_id == tenant_id, ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
        return list(db.scalars(select(ApiKey.id).where(*live)))


def now(db: Session) -> datetime:
    """The database's time, which decides when a key ends."""
    return db.scalars(select(func.now())).one()


def add(db: Session, tenant_id: UUID, values: Mapping[str, Any]) -> ApiKey:
    """A new key. values: name, prefix, hash, and any other column."""
    row = ApiKey(id=uuid7(), tenant_id=tenant_id, **values)
    db.add(row)
    db.flush()
    db.refresh(row)
    return row


def replace(db: Session, old: ApiKey, by: ApiKey, until: datetime) -> None:
    """Let the old key open the door until then and no longer; the new one follows it."""
    old.replaced_by = by.id
    old.expires_at = until if old.expires_at is None else min(old.expires_at, until)
    db.flush()


def revoke(db: Session, row: ApiKey) -> None:
    """End the key now."""
    row.revoked_at = func.now()
    db.flush()
    db.refresh(row)


def revoke_of_user(db: Session, tenant_id: UUID, user_id: UUID) -> int:
    """End all keys of a user now; how many they were."""
    live = (ApiKey.tenant_id == tenant_id, ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    return len(db.scalars(update(ApiKey).where(*live).values(revoked_at=func.now()).returning(ApiKey.id)).all())


def public(row: ApiKey) -> Json:
    """The key as administrators see it: everything but what opens the door."""
    return {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in HIDDEN}
