"""The one on whose behalf a request is made: the tenant, who it is, and what they may.

Every way in (API key, access token, WebSocket ticket) ends in a `Principal`, and nothing behind the door asks again how
they came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from policy.permissions import permissions_of
from storage.standing import Standing
from storage.tenants import DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Principal:
    """actor: `user:<id>` or `key:<prefix>`, as the audit and `runs.actor` name them; permissions: of
    policy/permissions.py, scopes applied; groups: names, for approvals; user_id: None for a service's key;
    plan: the tenant's; platform: of the installation's own tenant, whose operators may manage tenants."""

    tenant_id: UUID
    actor: str
    roles: frozenset[str]
    permissions: frozenset[str]
    groups: frozenset[str] = frozenset()
    user_id: UUID | None = None
    plan: str = "unlimited"
    platform: bool = False

    def may(self, permission: str) -> bool:
        """Whether they have the permission."""
        return permission in self.permissions and (permission != "tenants:manage" or self.platform)


def principal_of(standing: Standing) -> Principal | None:
    """Whom a standing lets in; None where the user is disabled or the tenant suspended."""
    if not standing.active:
        return None
    return Principal(
        tenant_id=standing.tenant_id,
        actor=f"key:{standing.prefix}" if standing.prefix else f"user:{standing.user_id}",
        roles=standing.roles,
        permissions=permissions_of(standing.roles, standing.scopes),
        groups=standing.groups,
        user_id=standing.user_id,
        plan=standing.plan,
        platform=standing.tenant == DEFAULT_TENANT,
    )
