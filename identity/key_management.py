"""API keys are made, rotated and revoked by people: the rules, and the entry of the record that each change leaves.

A key belongs to a user, and may what its user may, or to a service, and has roles of its own; scopes cut either down.
Nobody makes, renews or ends a key that may more than they do. The key itself is in the answer of `create` and `rotate`
and nowhere else: the database keeps its hash (`identity/keys.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from errors import FieldError, InvalidInput, KeyEnded
from identity.acting import Acting, must_hold, take_effect, told
from identity.users import roles_of
from policy.permissions import OWNER, permissions_of, unknown_scopes
from storage import api_keys, audit, directory, tenants, users
from storage.identity_tables import ApiKey

Json = dict[str, Any]

TOLD = ("prefix", "user_id", "roles", "scopes", "expires_at")


def create(
    acting: Acting,
    name: str,
    *,
    user_id: UUID | None = None,
    roles: Iterable[str] = (),
    scopes: Iterable[str] | None = None,
    expires_at: datetime | None = None,
) -> Json:
    """A new key, with `key` in plain text. user_id: whose; None: a service's, with these roles. What an administrator
    makes for somebody else without scopes is cut down to what that user may now.

    Raises NotFound for the user, InvalidInput, Forbidden.
    """
    cut = None if scopes is None else list(scopes)
    if wrong := unknown_scopes(cut or ()):
        raise _invalid("scopes", f"has {wrong[0]!r}, which is neither a permission nor `<what>:*` of one")
    with directory.change(acting.tenant_id) as db:
        if expires_at is not None and expires_at <= api_keys.now(db):
            raise _invalid("expires_at", "is not in the future")
        own = [] if user_id is not None else list(roles)
        may = own if user_id is None else _roles_of_user(db, acting.tenant_id, user_id)
        must_hold(acting, may, "make this key", cut)
        if cut is None and user_id not in (None, acting.principal.user_id) and OWNER not in acting.principal.roles:
            cut = sorted(permissions_of(may))  # a user who rises must not take the one who holds this key along
        values = {"name": name, "user_id": user_id, "roles": own, "scopes": cut, "expires_at": expires_at}
        row, plain = _add(acting, db, values)
        made = api_keys.public(row)
        audit.write(db, acting.record("key.create", f"key:{row.prefix}", after=told(made, TOLD)))
    return {**made, "key": plain}


def rotate(acting: Acting, key_id: UUID, overlap_seconds: int, *, user_id: UUID | None = None) -> Json:
    """A new key like this one, with `key` in plain text; the old one ends after the overlap. Where the old one expires,
    the new one lives as long as that was made to live. user_id: only if it is theirs.

    Raises NotFound, Forbidden, KeyEnded.
    """
    with directory.change(acting.tenant_id) as db:
        old = api_keys.found(db, acting.tenant_id, key_id, user_id)
        _must_hold_key(acting, db, old, "rotate this key")
        now = api_keys.now(db)
        if old.revoked_at or old.replaced_by or (old.expires_at and old.expires_at <= now):
            raise KeyEnded()
        lives = None if old.expires_at is None else now + (old.expires_at - old.created_at)
        kept = {name: getattr(old, name) for name in ("name", "user_id", "roles", "scopes")}
        row, plain = _add(acting, db, {**kept, "expires_at": lives})
        api_keys.replace(db, old, row, now + timedelta(seconds=overlap_seconds))
        made = api_keys.public(row)
        before = told(api_keys.public(old), ("prefix", "expires_at"))
        audit.write(db, acting.record("key.rotate", f"key:{old.prefix}", before=before, after=told(made, TOLD)))
    take_effect()
    return {**made, "key": plain}


def revoke(acting: Acting, key_id: UUID, *, user_id: UUID | None = None) -> None:
    """End a key; again is nothing. user_id: only if it is theirs. Raises NotFound, Forbidden."""
    with directory.change(acting.tenant_id) as db:
        row = api_keys.found(db, acting.tenant_id, key_id, user_id)
        _must_hold_key(acting, db, row, "revoke this key")
        if row.revoked_at is None:
            api_keys.revoke(db, row)
            audit.write(db, acting.record("key.revoke", f"key:{row.prefix}"))
    take_effect()


def _add(acting: Acting, db: Session, values: Json) -> tuple[ApiKey, str]:
    prefix, plain = tenants.new_key()
    by = {"prefix": prefix, "hash": tenants.key_hash(plain), "created_by": acting.principal.actor}
    return api_keys.add(db, acting.tenant_id, {**values, **by}), plain


def _must_hold_key(acting: Acting, db: Session, row: ApiKey, to: str) -> None:
    may = row.roles if row.user_id is None else _roles_of_user(db, acting.tenant_id, row.user_id, active=False)
    must_hold(acting, may, to, row.scopes)


def _roles_of_user(db: Session, tenant_id: UUID, user_id: UUID, *, active: bool = True) -> frozenset[str]:
    """Raises NotFound; InvalidInput where an active user is wanted and this one is disabled."""
    row = users.found(db, tenant_id, user_id)
    if active and row.status != "active":
        raise _invalid("user_id", "is a disabled user")
    return roles_of(row, users.groups_of(db, tenant_id, [user_id])[user_id])


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(f"{field} {message}", errors=[FieldError(field=field, message=message)])
