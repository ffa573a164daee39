"""Tenants and their API keys."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from settings import SettingsError
from storage import tenants


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No key is remembered from another test."""
    tenants._known.clear()
    yield


def test_a_key_opens_its_tenant(tenant: UUID, api_key: str) -> None:
    assert api_key.startswith("bt_")
    assert tenants.authenticate(api_key) == tenant


def test_only_the_hmac_of_a_key_is_kept(tenant: UUID, api_key: str, owner_db: Connection) -> None:
    with owner_db.cursor() as cursor:
        cursor.execute("SELECT prefix, hash, name FROM api_keys WHERE tenant_id = %s", (tenant,))
        ((prefix, hashed, name),) = cursor.fetchall()
    assert api_key.split("_")[1] == prefix
    assert api_key.split("_")[2].encode() not in bytes(hashed) and len(bytes(hashed)) == 32
    assert name == "tests"


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: key + "0",
        lambda _: "",
        lambda _: "bt_' OR 1=1 --",
        lambda _: "bt_\x00",
    ],
)
def test_any_other_key_opens_nothing(api_key: str, change) -> None:
    assert tenants.authenticate(change(api_key)) is None


def test_a_revoked_key_opens_nothing(tenant: UUID, api_key: str) -> None:
    assert tenants.authenticate(api_key) == tenant
    assert tenants.revoke_api_keys(tenant, api_key.split("_")[1]) == 1
    assert tenants.authenticate(api_key) is None
    assert tenants.revoke_api_keys(tenant, api_key.split("_")[1]) == 0


def test_a_good_key_is_remembered_for_seconds_only(
    tenant: UUID, api_key: str, owner_db: Connection, monkeypatch
) -> None:
    # Given a key that was used, and revoked by another process
    assert tenants.authenticate(api_key) == tenant
    with owner_db.cursor() as cursor:
        cursor.execute("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = %s", (tenant,))
    # Then this process still takes it, until the time is over
    assert tenants.authenticate(api_key) == tenant
    real = tenants.time.monotonic
    monkeypatch.setattr(tenants.time, "monotonic", lambda: real() + tenants.CACHE_SECONDS + 0.1)
    assert tenants.authenticate(api_key) is None


def test_the_use_of_a_key_is_noted_at_most_once_a_minute(tenant: UUID, api_key: str, owner_db: Connection) -> None:
    def last_used():
        with owner_db.cursor() as cursor:
            cursor.execute("SELECT last_used_at FROM api_keys WHERE tenant_id = %s", (tenant,))
            return cursor.fetchone()[0]

    assert last_used() is None
    tenants.authenticate(api_key)
    first = last_used()
    assert first is not None
    tenants._known.clear()
    tenants.authenticate(api_key)
    assert last_used() == first


def test_the_default_tenant_is_made_once(settings_env) -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = {future.result() for future in [pool.submit(tenants.ensure_default_tenant) for _ in range(8)]}
    assert ids == {tenants.find_tenant("default")}


def test_without_a_secret_no_key_is_made(tenant: UUID, monkeypatch) -> None:
    bare = tenants.settings().model_copy(update={"secret": type(tenants.settings().secret)("")})
    monkeypatch.setattr(tenants, "settings", lambda: bare)
    with pytest.raises(SettingsError):
        tenants.create_api_key(tenant, "tests")
