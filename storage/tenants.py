"""Tenants and their API keys: who a request belongs to.

A key reads `bt_<prefix>_<secret>`. The database keeps only its HMAC under BATON_SECRET, so that a stolen backup opens
nothing, and the prefix, by which a person recognises and revokes it. A change of BATON_SECRET ends every key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from datetime import timedelta
from uuid import UUID

from sqlalchemy import CTE, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from settings import SettingsError, settings
from storage.identity_tables import ApiKey, Tenant
from storage.postgres import keeper_session
from storage.tables import uuid7

DEFAULT_TENANT = "default"
CACHE_SECONDS = 5.0
CACHE_KEYS = 10_000
USE_NOTED_EVERY = timedelta(minutes=1)

_KEY = re.compile(r"bt_[0-9a-f]{8}_[0-9a-f]{48}")
_known: dict[bytes, tuple[float, UUID]] = {}


def ensure_default_tenant() -> UUID:
    """The id of the tenant `default`, made if it is missing; safe in two processes at once."""
    return create_tenant(DEFAULT_TENANT)


def create_tenant(name: str) -> UUID:
    """The id of the tenant of this name, made if it is missing."""
    with keeper_session() as session:
        session.execute(insert(Tenant).values(id=uuid7(), name=name).on_conflict_do_nothing(index_elements=["name"]))
        return session.scalars(select(Tenant.id).where(Tenant.name == name)).one()


def find_tenant(name: str) -> UUID | None:
    """The id of the tenant of this name."""
    with keeper_session() as session:
        return session.scalar(select(Tenant.id).where(Tenant.name == name))


def create_api_key(tenant_id: UUID, name: str) -> str:
    """Make a key for a tenant and return it in plain text: the only time that it is ever seen."""
    prefix = secrets.token_hex(4)
    key = f"bt_{prefix}_{secrets.token_hex(24)}"
    with keeper_session() as session:
        session.add(ApiKey(id=uuid7(), tenant_id=tenant_id, name=name, prefix=prefix, hash=_hash(key)))
    return key


def revoke_api_keys(tenant_id: UUID, prefix: str) -> int:
    """Revoke a tenant's keys of this prefix; the number revoked. Each process forgets a key within CACHE_SECONDS."""
    with keeper_session() as session:
        revoked = session.execute(
            update(ApiKey)
            .where(ApiKey.tenant_id == tenant_id, ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
            .values(revoked_at=func.now())
            .returning(ApiKey.id)
        ).all()
    _known.clear()
    return len(revoked)


def authenticate(key: str) -> UUID | None:
    """The tenant that a key opens; None: unknown or revoked. A good key is remembered for CACHE_SECONDS."""
    if not _KEY.fullmatch(key):
        return None
    hashed = _hash(key)
    found = _known.get(hashed)
    if found and time.monotonic() < found[0]:
        return found[1]
    tenant_id = _look_up(hashed)
    if tenant_id is None:
        _known.pop(hashed, None)
        return None
    if len(_known) >= CACHE_KEYS:
        _known.clear()
    _known[hashed] = (time.monotonic() + CACHE_SECONDS, tenant_id)
    return tenant_id


def _look_up(hashed: bytes) -> UUID | None:
    """The tenant of a valid key; notes its use, at most once in USE_NOTED_EVERY."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - USE_NOTED_EVERY)
    noted: CTE = (
        update(ApiKey)
        .where(ApiKey.hash == hashed, ApiKey.revoked_at.is_(None), stale)
        .values(last_used_at=func.now())
        .returning(ApiKey.id)
        .cte("noted")
    )
    with keeper_session() as session:
        return session.scalar(
            select(ApiKey.tenant_id).where(ApiKey.hash == hashed, ApiKey.revoked_at.is_(None)).add_cte(noted)
        )


def _hash(key: str) -> bytes:
    """The HMAC-SHA256 of a key. Raises SettingsError where there is no secret: then anybody could make keys."""
    secret = settings().secret.get_secret_value()
    if not secret:
        raise SettingsError("BATON_SECRET is not set: API keys cannot be made or checked without it")
    return hmac.new(secret.encode(), key.encode(), hashlib.sha256).digest()
