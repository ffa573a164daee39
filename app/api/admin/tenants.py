"""Tenants of the installation, for the operators of its own tenant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, url_for

from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, operation
from app.schemas.admin import NewTenant, Tenant, TenantChanges, TenantPage, TenantsQuery
from identity import tenants as rules
from storage import tenant_records

api = blueprint("tenants", __name__)


@operation(
    api,
    "POST",
    "/admin/tenants",
    "Make a tenant",
    needs="tenants:manage",
    body=NewTenant,
    answers={201: Tenant},
    problems=(409, 413, 415),
)
def create(body: NewTenant) -> Response:
    """With its first owner, if one is named, who then makes the others. 409 where another tenant has this name."""
    owner = None
    if body.owner is not None:
        password = body.owner.password.get_secret_value()
        owner = {"email": body.owner.email, "name": body.owner.name, "password": password}
    made = rules.create(acting(), body.model_dump(exclude={"owner"}), owner)
    return answer_json(made, 201, {"Location": url_for("tenants.get", tenant_id=made["id"])})


@operation(
    api,
    "GET",
    "/admin/tenants",
    "List tenants, newest first",
    needs="tenants:manage",
    query=TenantsQuery,
    answers={200: TenantPage},
)
def page(query: TenantsQuery) -> dict[str, Any]:
    """All tenants of the installation, suspended ones too."""
    return tenant_records.page(**query.model_dump())


@operation(
    api, "GET", "/admin/tenants/<uuid:tenant_id>", "Look at a tenant", needs="tenants:manage", answers={200: Tenant}
)
def get(tenant_id: UUID) -> dict[str, Any]:
    """Its plan, and where it differs from it."""
    return tenant_records.get(tenant_id)


@operation(
    api,
    "PATCH",
    "/admin/tenants/<uuid:tenant_id>",
    "Change a tenant",
    needs="tenants:manage",
    body=TenantChanges,
    answers={200: Tenant},
    problems=(409, 413, 415),
)
def change(tenant_id: UUID, body: TenantChanges) -> dict[str, Any]:
    """Sets the fields that are named. A suspended tenant is closed within 5 s: its keys, tokens and logins open nothing
    until it is active again. What runs goes on to its end. 409 for the installation's own tenant.
    """
    return rules.change(acting(), tenant_id, body.model_dump(exclude_unset=True))
