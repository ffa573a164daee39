"""The one on whose behalf a request is made: the tenant, who it is, and what they may.

Every way in (API key, access token, WebSocket ticket) ends in a `Principal`, and nothing behind the door asks again how
they came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


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
