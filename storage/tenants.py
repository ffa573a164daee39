"""Tenants, and the API keys that are made for them without anybody asking (`up`, tests, benchmarks).

A key reads `bt_<prefix>_<secret>`. The database keeps only its HMAC under BATON_SECRET, so that a stolen backup opens
nothing, and the prefix, by which a person recognises and revokes it. A change of BATON_SECRET ends every key. What a
key opens is found in `identity/keys.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from settings import SettingsError, settings
from storage.identity_tables import ApiKey, Tenant
from storage.postgres import keeper_session
from storage.tables import uuid7

DEFAULT_TENANT = "default"
KEY_PATTERN = re.compile(r"bt_[0-9a-f]{8}_[0-9a-f]{48}")


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
    """Make a service's key with all rights in its tenant, and return it in plain text: it is never seen again."""
    prefix, key = new_key()
    with keeper_session() as session:
        session.add(ApiKey(id=uuid7(), tenant_id=tenant_id, name=name, prefix=prefix, hash=key_hash(key)))
    return key


def new_key() -> tuple[str, str]:
    """(prefix, key) of a new key with 192 random bits."""
    prefix = secrets.token_hex(4)
    return prefix, f"bt_{prefix}_{secrets.token_hex(24)}"


def key_hash(key: str) -> bytes:
    """The HMAC-SHA256 of a key. Raises SettingsError where there is no secret: then anybody could make keys."""
    secret = settings().secret.get_secret_value()
    if not secret:
        raise SettingsError("BATON_SECRET is not set: API keys cannot be made or checked without it")
    return hmac.new(secret.encode(), key.encode(), hashlib.sha256).digest()
