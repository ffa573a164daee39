"""Who may do what: one table of permissions by role. Nothing else in Baton decides it.

A permission is `<what>:<verb>`, and every operation of the API names the one it needs (`app/operation.py`). A user has
the roles given to them and those of their groups. A key has the roles of its owner, or its own if it is a service's,
cut down to its scopes, which are permissions too, or `<what>:*`.
"""

from __future__ import annotations

from collections.abc import Iterable

ROLES: dict[str, str] = {
    "owner": "everything in the tenant; there is always one",
    "admin": "users, keys, limits and policies; everything but to make owners",
    "developer": "builds on it: starts and steers runs, keeps creators, products and knowledge",
    "operator": "keeps it running: looks at everything, cancels, resumes and forks runs",
    "approver": "answers what waits for a person, and sees what it is about",
    "viewer": "looks at runs, sessions and usage",
    "service": "another program: starts runs and reads them",
}

OWNER, ADMIN, DEVELOPER, OPERATOR, APPROVER, VIEWER, SERVICE = ROLES

LOOKING = frozenset({OWNER, ADMIN, DEVELOPER, OPERATOR, APPROVER, VIEWER, SERVICE})
BUILDING = frozenset({OWNER, ADMIN, DEVELOPER, SERVICE})
STEERING = frozenset({OWNER, ADMIN, DEVELOPER, OPERATOR, SERVICE})
MANAGING = frozenset({OWNER, ADMIN})

# permission -> the roles that have it
PERMISSIONS: dict[str, frozenset[str]] = {
    "runs:read": LOOKING,
    "runs:start": BUILDING,
    "runs:steer": STEERING,  # cancel, resume, fork, replay a dead letter
    "runs:answer": frozenset({OWNER, ADMIN, DEVELOPER, APPROVER, SERVICE}),
    "sessions:read": LOOKING,
    "sessions:write": BUILDING,
    "catalog:read": LOOKING,  # creators and products
    "catalog:write": BUILDING,
    "skills:read": LOOKING,
    "usage:read": frozenset({OWNER, ADMIN, DEVELOPER, OPERATOR, VIEWER}),
    "self:read": LOOKING,  # who am I, what may I
    "keys:own": frozenset({OWNER, ADMIN, DEVELOPER}),  # make and end keys of one's own
    "users:read": frozenset({OWNER, ADMIN, OPERATOR}),
    "users:manage": MANAGING,  # and groups
    "keys:manage": MANAGING,
    "limits:manage": MANAGING,
    "login:manage": MANAGING,  # the tenant's OIDC provider
    "audit:read": frozenset({OWNER, ADMIN, OPERATOR}),
    "erasure:manage": frozenset({OWNER, ADMIN}),
    "operations:view": frozenset({OWNER, ADMIN, OPERATOR}),  # Flower
    "tenants:manage": frozenset({OWNER, ADMIN, OPERATOR}),  # in the platform's own tenant alone (identity/principal.py)
}

PUBLIC = "public"  # needs nobody: health, login, the JWKS


def permissions_of(roles: Iterable[str], scopes: Iterable[str] | None = None) -> frozenset[str]:
    """What these roles may, cut down to the scopes; None: not cut. Unknown roles and scopes give nothing."""
    held = frozenset(roles)
    may = frozenset(permission for permission, by in PERMISSIONS.items() if by & held)
    if scopes is None:
        return may
    wanted = frozenset(scopes)
    return frozenset(one for one in may if one in wanted or f"{one.partition(':')[0]}:*" in wanted)


def unknown_scopes(scopes: Iterable[str]) -> list[str]:
    """Those that are neither a permission nor `<what>:*` of one, in order."""
    whats = {one.partition(":")[0] for one in PERMISSIONS}
    return [one for one in scopes if one not in PERMISSIONS and not (one.endswith(":*") and one[:-2] in whats)]
