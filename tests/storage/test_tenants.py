"""Tenants and their API keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from settings import SettingsError
from storage import tenants


def test_only_the_hmac_of_a_key_is_kept(tenant: UUID, api_key: str, owner_db: Connection) -> None:
    with owner_db.cursor() as cursor:
        cursor.execute("SELECT prefix, hash, name FROM api_keys WHERE tenant_id = %s", (tenant,))
        ((prefix, hashed, name),) = cursor.fetchall()
    assert api_key.startswith("bt_")
    assert api_key.split("_")[1] == prefix
    assert api_key.split("_")[2].encode() not in bytes(hashed) and len(bytes(hashed)) == 32
    assert name == "tests"


def test_the_default_tenant_is_made_once(settings_env) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(tenants.ensure_default_tenant) for _ in range(8)]}
    assert ids == {tenants.find_tenant("default")}


def test_without_a_secret_no_key_is_made(tenant: UUID, monkeypatch) -> None:
    bare = tenants.settings().model_copy(update={"secret": type(tenants.settings().secret)("")})
    monkeypatch.setattr(tenants, "settings", lambda: bare)
    with pytest.raises(SettingsError):
        tenants.create_api_key(tenant, "tests")
