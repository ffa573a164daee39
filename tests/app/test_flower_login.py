"""Who may look at Flower: operators of the installation's own tenant, by a key or by name and password."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from tornado.web import HTTPError

from identity import acting, key_management, users
from storage import standing, tenants
from storage.tables import uuid7
from tasks.flower_login import current_user
from tests.app.people import PASSWORD


@pytest.fixture
def platform(settings_env: Any) -> UUID:
    """The installation's own tenant."""
    return tenants.ensure_default_tenant()


def user(tenant: UUID, *roles: str) -> tuple[UUID, str]:
    """(id, e-mail) of a new user."""
    email = f"{uuid7()}@example.com"
    return users.create(acting.operator(tenant), email, "Ada", roles, PASSWORD)["id"], email


def key(tenant: UUID, *roles: str, scopes: list[str] | None = None) -> str:
    """A new key of a service."""
    return str(key_management.create(acting.operator(tenant), "tests", roles=roles, scopes=scopes)["key"])


def asks(name: str, password: str) -> str:
    """What Flower's handlers learn of a request with HTTP Basic."""
    return looks(f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}")


def looks(header: str) -> str:
    """What they learn of a request with this header."""
    request = SimpleNamespace(headers={"Authorization": header}, remote_ip="127.0.0.1")
    return current_user(SimpleNamespace(request=request))


def refused(name: str, password: str) -> int:
    """The status with which they send it away."""
    with pytest.raises(HTTPError) as away:
        asks(name, password)
    return away.value.status_code


def test_an_operators_key_opens_it(platform: UUID) -> None:
    assert asks("anybody", key(platform, "operator")).startswith("key:")


def test_a_name_and_a_password_open_it(platform: UUID) -> None:
    """Given an operator, when they log in again and again, then each look is theirs, and one login is on record."""
    user_id, email = user(platform, "operator")
    assert [asks(f"default/{email}", PASSWORD) for _ in range(3)] == [f"user:{user_id}"] * 3


def test_who_may_not_is_told_so(platform: UUID) -> None:
    _, viewer = user(platform, "viewer")
    assert refused(f"default/{viewer}", PASSWORD) == 403
    assert refused("", key(platform, "viewer")) == 403
    assert refused("", key(platform, "owner", scopes=["runs:read"])) == 403


def test_another_tenants_owner_may_not(tenant: UUID) -> None:
    """Flower shows every tenant's tasks, so no tenant but the installation's own may look."""
    assert refused("", key(tenant, "owner")) == 403


def test_strangers_stay_outside(platform: UUID) -> None:
    _, email = user(platform, "operator")
    assert refused(f"default/{email}", "another password") == 401
    assert refused(email, PASSWORD) == 401
    assert refused("", f"bt_00000000_{'0' * 48}") == 401
    for header in ("", "Basic", "Basic !", "Bearer x", f"Basic {base64.b64encode(b'nothing').decode()}"):
        with pytest.raises(HTTPError) as away:
            looks(header)
        assert away.value.status_code == 401


def test_a_disabled_operator_is_out(platform: UUID) -> None:
    """Given an operator who has looked already, when they are disabled, then the next look is refused."""
    user_id, email = user(platform, "operator")
    asks(f"default/{email}", PASSWORD)
    users.change(acting.operator(platform), user_id, {"status": "disabled"})
    assert refused(f"default/{email}", PASSWORD) == 401


def test_what_cannot_be_looked_up_is_no_crash(platform: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused("default\0/a@example.com", PASSWORD) == 401

    def away(_: bytes) -> None:
        raise psycopg2.OperationalError("the server is away")

    monkeypatch.setattr(standing, "of_key", away)
    assert refused("", f"bt_00000000_{'0' * 48}") == 503
