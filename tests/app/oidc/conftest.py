"""A provider in a thread, a tenant that logs in there, a browser and somebody who uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

import settings as settings_module
from identity import oidc, oidc_discovery
from storage import tenant_records
from storage.tables import uuid7
from tests.app.oidc.browser import FRONT, PROVIDER, Browser
from tests.app.oidc.house import House, house
from tests.app.people import send
from tests.app.rows import Client


@pytest.fixture(scope="session")
def provider() -> Iterator[House]:
    """The provider, one for all tests here."""
    with house() as made:
        yield made


@pytest.fixture(autouse=True)
def ready(settings_env: Any, provider: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The provider may be asked though it is on this machine, and lies no more."""
    monkeypatch.setenv("BATON_OUTBOUND_ALLOW", provider.url.removeprefix("http://"))
    monkeypatch.setenv("BATON_LOGIN_REDIRECTS", FRONT)
    settings_module.reload()
    provider.lie = None
    yield
    monkeypatch.undo()
    settings_module.reload()


@pytest.fixture
def name(tenant: UUID) -> str:
    """The tenant's name."""
    return str(tenant_records.get(tenant)["name"])


@pytest.fixture
def configured(client: Client, name: str, provider: House) -> dict[str, Any]:
    """The tenant logs in at the provider; what was put there."""
    values = {"issuer": provider.url, **provider.register(oidc.redirect_uri(name))}
    answer = send(client, "PUT", PROVIDER, values)
    assert answer.status_code == 200, answer.json
    return values


@pytest.fixture
def browser(flask_app: Flask, name: str, configured: Any, provider: House) -> Browser:
    """A browser at the tenant's login."""
    return Browser(flask_app, name, provider)


@pytest.fixture
def grace(provider: House) -> str:
    """A user of the provider, with a verified address; her subject."""
    subject = f"grace-{uuid7()}"
    claims = {"email": f"{subject}@example.com", "email_verified": True, "name": "Grace"}
    provider.knows(subject, **claims)
    return subject


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    from tests.app.server import free_port

    return free_port()


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """No provider is known from another test."""
    oidc_discovery.forget()
