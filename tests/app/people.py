"""Who acts in the tests of administration: clients of users and services with the roles that a test names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2
from flask import Flask

from identity import acting, key_management, users
from storage import tenants
from storage.tables import uuid7
from tests.app.rows import Client

PASSWORD = "correct battery staple"


@dataclass(frozen=True)
class Person:
    """A user of the tenant, with a client that carries a key of theirs."""

    id: UUID
    email: str
    client: Client


def person(app: Flask, tenant: UUID, *roles: str, scopes: list[str] | None = None) -> Person:
    """A user with these roles and a key of their own."""
    email = f"{uuid7()}@example.com"
    made = users.create(acting.operator(tenant), email, "Ada", roles, PASSWORD)
    key = key_management.create(acting.operator(tenant), "tests", user_id=made["id"], scopes=scopes)
    return Person(made["id"], email, Client(app, key["key"]))


def service(app: Flask, tenant: UUID, *roles: str, scopes: list[str] | None = None) -> Client:
    """A client with the key of a service."""
    key = key_management.create(acting.operator(tenant), "tests", roles=roles, scopes=scopes)
    return Client(app, key["key"])


def stranger(app: Flask) -> Client:
    """An owner of another tenant."""
    return Client(app, tenants.create_api_key(tenants.create_tenant(f"other-{uuid7()}"), "tests"))


def send(client: Client, method: str, path: str, body: Any) -> Any:
    """A request with a JSON body."""
    return client.raw(method, path, data=json.dumps(body), content_type="application/json")


def record(connect: Callable[[str], Any], owner_url: str, tenant: UUID) -> list[dict[str, Any]]:
    """The tenant's entries of the record, in order."""
    rows: list[dict[str, Any]] = []
    connection: psycopg2.extensions.connection = connect(owner_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT actor, action, resource, before, after FROM audit_logs WHERE tenant_id = %s ORDER BY seq", (tenant,)
        )
        for actor, action, resource, before, after in cursor.fetchall():
            rows.append({"actor": actor, "action": action, "resource": resource, "before": before, "after": after})
    return rows
