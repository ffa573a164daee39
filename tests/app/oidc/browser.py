"""Somebody's browser at a tenant's login, and what the tests read from its answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask

from tests.app.oidc.house import House
from tests.app.people import Person, person, send
from tests.app.rows import Client

FRONT = "https://app.example.com"
PROVIDER = "/api/v1/admin/oidc"


class Browser:
    """Somebody's browser, with its cookies, at one tenant's login."""

    def __init__(self, app: Flask, tenant: str, provider: House) -> None:
        self.http = app.test_client()
        self.base = f"/api/v1/auth/oidc/{tenant}"
        self.provider = provider

    def begin(self, **query: str) -> Any:
        return self.http.get(f"{self.base}/login", query_string=query)

    def back(self, subject: str | None, **query: str) -> str:
        """Log in at the provider as `subject`; the path and query to which it sends the browser back."""
        begun = self.begin(**query)
        assert begun.status_code == 302, begun.json
        parts = urlsplit(self.provider.log_in(begun.headers["Location"], subject))
        return f"{parts.path}?{parts.query}"

    def log_in(self, subject: str, **query: str) -> Any:
        return self.http.get(self.back(subject, **query))


def me(app: Flask, answer: Any) -> dict[str, Any]:
    """Who the tokens of a login are."""
    assert answer.status_code == 200, answer.json
    told: dict[str, Any] = Client(app, answer.json["access_token"]).get("/api/v1/auth/me").json
    return told


def everybody(client: Client) -> list[str]:
    return [row["email"] for row in client.get("/api/v1/admin/users").json["items"]]


def refused(answer: Any) -> None:
    assert (answer.status_code, answer.json["code"]) == (401, "oidc_login_failed"), answer.json
    assert "access_token" not in answer.text


def forbidden(answer: Any) -> str:
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), answer.json
    return str(answer.json["detail"])


def local(app: Flask, tenant: UUID, client: Client, subject: str, *roles: str) -> Person:
    """A user who is here already under the subject's address."""
    made = person(app, tenant, *roles)
    send(client, "PATCH", f"/api/v1/admin/users/{made.id}", {"email": f"{subject}@EXAMPLE.com"})
    return made
