"""What a credential stands for at this moment: its tenant, its user with the groups, and whether all are active.

One statement each; `identity/` remembers the answer for some seconds, so this is asked once per key or login and that
time. Nothing is decided here but whether the key or the login itself still lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ScalarSelect, and_, func, or_, select, update

from storage.identity_tables import ApiKey, Group, GroupMember, RefreshToken, Tenant, User
from storage.postgres import keeper_session

USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """roles: the user's and the groups', or of a service's key; groups: by name; prefix, scopes: a key's."""

    tenant_id: UUID
    tenant: str
    active: bool
    plan: str
    user_id: UUID | None
    roles: frozenset[str]
    groups: frozenset[str]
    prefix: str | None = None
    scopes: frozenset[str] | None = None


def of_key(hashed: bytes) -> Standing | None:
    """Of an API key that is neither revoked nor expired; notes its use, at most once in USE_NOTED_EVERY."""
    lives = and_(
        ApiKey.hash == hashed,
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.now()),
    )
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < func.now() - USE_NOTED_EVERY)
    noted: CTE = update(ApiKey).where(lives, stale).values(last_used_at=func.now()).returning(ApiKey.id).cte("noted")
    asked = (
        _of_user(select(ApiKey.prefix, ApiKey.scopes, ApiKey.user_id, ApiKey.roles))
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .outerjoin(User, User.id == ApiKey.user_id)
        .where(lives)
        .add_cte(noted)
    )
    with keeper_session() as db:
        row = db.execute(asked).one_or_none()
    return None if row is None else _standing(row, row.prefix, row.scopes)


def of_login(tenant_id: UUID, user_id: UUID, family: UUID) -> Standing | None:
    """Of a user whose login (the family of its refresh tokens) was not ended."""
    alive = (
        select(RefreshToken.id)
        .where(RefreshToken.family == family, RefreshToken.user_id == User.id, RefreshToken.ended_at.is_(None))
        .exists()
    )
    asked = (
        _of_user(select(User.id.label("user_id")))
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(User.id == user_id, User.tenant_id == tenant_id, alive)
    )
    with keeper_session() as db:
        row = db.execute(asked).one_or_none()
    return None if row is None else _standing(row)


def _of_user(asked: Any) -> Any:
    return asked.add_columns(
        Tenant.id.label("tenant_id"),
        Tenant.name.label("tenant"),
        Tenant.status.label("tenant_status"),
        Tenant.plan,
        User.status.label("user_status"),
        User.roles.label("user_roles"),
        _groups().label("groups"),
    )


def _groups() -> ScalarSelect[Any]:
    """The user's groups as JSON: [{"name", "roles"}]."""
    one = func.json_build_object("name", Group.name, "roles", Group.roles)
    return (
        select(func.json_agg(one))
        .join(GroupMember, GroupMember.group_id == Group.id)
        .where(GroupMember.user_id == User.id, Group.tenant_id == User.tenant_id)
        .correlate(User)
        .scalar_subquery()
    )


def _standing(row: Any, prefix: str | None = None, scopes: list[str] | None = None) -> Standing:
    groups = row.groups or []
    own = row.roles if row.user_id is None else row.user_roles
    return Standing(
        tenant_id=row.tenant_id,
        tenant=row.tenant,
        active=row.tenant_status == "active" and (row.user_id is None or row.user_status == "active"),
        plan=row.plan,
        user_id=row.user_id,
        roles=frozenset(own).union(*(group["roles"] for group in groups)),
        groups=frozenset(group["name"] for group in groups),
        prefix=prefix,
        scopes=None if scopes is None else frozenset(scopes),
    )
