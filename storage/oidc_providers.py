"""Where a tenant's users log in instead of here: the tenant's OIDC provider, one row at most.

The row holds the client secret as `identity/oidc_provider.py` encrypted it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from errors import NotFound
from storage.identity_tables import OidcProvider, Tenant
from storage.postgres import keeper_session, session

Json = dict[str, Any]

HIDDEN = ("tenant_id", "client_secret")


def of_tenant(name: str) -> OidcProvider | None:
    """The provider in use of the active tenant of this name; read before anybody is known."""
    asked = select(OidcProvider).join(Tenant, Tenant.id == OidcProvider.tenant_id)
    with keeper_session() as db:
        return db.scalar(asked.where(Tenant.name == name, Tenant.status == "active", OidcProvider.enabled))


def get(tenant_id: UUID) -> Json:
    """The tenant's provider, in use or not. Raises NotFound where there is none."""
    with session(tenant_id) as db:
        return public(found(db, tenant_id))


def find(db: Session, tenant_id: UUID) -> OidcProvider | None:
    """The tenant's provider in this transaction."""
    return db.get(OidcProvider, tenant_id)


def found(db: Session, tenant_id: UUID) -> OidcProvider:
    """The same. Raises NotFound where there is none."""
    row = find(db, tenant_id)
    if row is None:
        raise NotFound("This tenant has no login provider.")
    return row


def put(db: Session, tenant_id: UUID, values: Mapping[str, Any]) -> OidcProvider:
    """Set every column of the tenant's provider, made if it is missing."""
    row = find(db, tenant_id)
    if row is None:
        row = OidcProvider(tenant_id=tenant_id)
        db.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    row.updated_at = func.now()
    db.flush()
    db.refresh(row)
    return row


def remove(db: Session, row: OidcProvider) -> None:
    """Delete the provider; who came from it keeps their user, and cannot log in that way any more."""
    db.delete(row)
    db.flush()


def public(row: OidcProvider) -> Json:
    """The provider as administrators see it: whether there is a secret, and not the secret."""
    shown = {column.name: getattr(row, column.name) for column in row.__table__.columns if column.name not in HIDDEN}
    return {**shown, "has_client_secret": row.client_secret is not None}
