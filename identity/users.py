"""Users of a tenant are made, changed, disabled: the rules, and the entry of the record that each change leaves.

There is always one active owner. Nobody makes or changes somebody who may more than they do. A user is disabled, not
deleted (erasure removes what is personal); disabling ends their logins and keys in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from identity import passwords
from identity.acting import Acting, must_hold, take_effect, told
from storage import api_keys, audit, directory, logins, refresh_tokens, users
from storage.identity_tables import Group, User

Json = dict[str, Any]

TOLD = ("email", "name", "roles", "status")
PERSONAL = ("email", "name", "external_subject")  # an entry cannot be taken back: a keyed hash of these stands in it


def create(acting: Acting, email: str, name: str, roles: Iterable[str], password: str | None = None) -> Json:
    """A new user, who can log in with the password, or by the tenant's OIDC provider.

    Raises AlreadyExists for an address that is taken, Forbidden, InvalidInput for the password.
    """
    roles = list(roles)
    must_hold(acting, roles, "make this user")
    kept = None if password is None else _hashed(password, email)
    with directory.change(acting.tenant_id, proofs=True) as db:
        row = users.add(db, acting.tenant_id, {"email": email, "name": name, "roles": roles})
        if kept is not None:
            logins.set_password_hash(db, acting.tenant_id, row.id, kept, datetime.now(UTC))
        made = users.public(row, [])
        audit.write(db, acting.record("user.create", f"user:{row.id}", after=told_of(made, TOLD)))
    return made


def change(acting: Acting, user_id: UUID, values: Mapping[str, Any]) -> Json:
    """Set name, email, roles or status. Raises NotFound, AlreadyExists, Forbidden, LastOwner."""
    with directory.change(acting.tenant_id, proofs=True) as db:
        row, groups = changeable(acting, db, user_id)
        must_hold(acting, values.get("roles", ()), "give this role")
        before = users.public(row, groups)
        changed = {name: value for name, value in values.items() if before[name] != value}
        if not changed:
            return before
        users.write(db, row, changed)
        if changed.get("status") == "disabled":
            _end_access(db, acting.tenant_id, user_id, "disabled")
        after = users.public(row, groups)
        was, now = told_of(before, changed), told_of(after, changed)
        audit.write(db, acting.record("user.change", f"user:{user_id}", before=was, after=now))
    take_effect()
    return after


def set_password(acting: Acting, user_id: UUID, password: str) -> None:
    """Give a user a new password; all their logins end. Raises NotFound, Forbidden, InvalidInput."""
    email = users.get(acting.tenant_id, user_id)["email"]
    kept = _hashed(password, email)
    with directory.change(acting.tenant_id, proofs=True) as db:
        changeable(acting, db, user_id)
        now = datetime.now(UTC)
        refresh_tokens.end_all(db, user_id, "password_changed", now)
        logins.set_password_hash(db, acting.tenant_id, user_id, kept, now)
        audit.write(db, acting.record("user.password", f"user:{user_id}"))
    take_effect()


def changeable(acting: Acting, db: Session, user_id: UUID) -> tuple[User, list[Group]]:
    """The user and their groups, for a change in this transaction. Raises NotFound; Forbidden where they may more than
    the one who acts.
    """
    row = users.found(db, acting.tenant_id, user_id)
    groups = users.groups_of(db, acting.tenant_id, [user_id])[user_id]
    must_hold(acting, roles_of(row, groups), "change this user")
    return row, groups


def told_of(shown: Mapping[str, Any], names: Iterable[str]) -> Json:
    """These fields of a user for an entry of the record, without who it is."""
    from policy.audit import fingerprint  # the masks' rules are read at the first entry, not by every process

    plain = told(shown, names)
    return {name: fingerprint(value) if name in PERSONAL and value else value for name, value in plain.items()}


def roles_of(row: User, groups: Sequence[Group]) -> frozenset[str]:
    """The roles given to the user and those of the groups."""
    return frozenset(row.roles).union(*(group.roles for group in groups))


def _end_access(db: Session, tenant_id: UUID, user_id: UUID, why: str) -> None:
    refresh_tokens.end_all(db, user_id, why, datetime.now(UTC))
    api_keys.revoke_of_user(db, tenant_id, user_id)


def _hashed(password: str, email: str) -> str:
    """Outside of the transaction: it takes tens of milliseconds. Raises InvalidInput."""
    passwords.check_new(password, email)
    return passwords.hashed(password)
