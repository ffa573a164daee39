"""The tenants of the installation are made, suspended and given plans by the operators of its own tenant.

An entry is written twice: in the record of the tenant that was changed, and in that of the one who changed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from errors import OwnTenant
from identity import passwords
from identity.acting import Acting, take_effect, told
from identity.users import told_of
from policy import plans, tenant_limits
from policy.permissions import OWNER
from storage import audit, directory, logins, tenant_records, tenants, users
from storage.audit import Entry

Json = dict[str, Any]

TOLD = ("name", "status", "plan", "limits", "weight")


def create(acting: Acting, values: Mapping[str, Any], owner: Mapping[str, str] | None = None) -> Json:
    """A new tenant. values: name, and plan, limits, weight where they differ from the default (of weight: the plan's);
    owner: email, name and password of its first user, who can then log in and make the others.

    Raises AlreadyExists, InvalidInput.
    """
    checked = _checked(values)
    if owner is not None:
        passwords.check_new(owner["password"], owner["email"], "owner.password")
    kept = None if owner is None else passwords.hashed(owner["password"])
    with tenant_records.change() as db:
        row = tenant_records.add(db, checked)
        made = tenant_records.public(row)
        entry = acting.record("tenant.create", f"tenant:{row.id}", after=told(made, TOLD))
        _write(db, acting.tenant_id, row.id, entry)
        if owner is not None and kept is not None:
            first = {"email": owner["email"], "name": owner["name"], "roles": [OWNER]}
            user = users.add(db, row.id, first)
            logins.set_password_hash(db, row.id, user.id, kept, datetime.now(UTC))
            audit.write(db, acting.record("user.create", f"user:{user.id}", after=told_of(first, first)))
    return made


def change(acting: Acting, tenant_id: UUID, values: Mapping[str, Any]) -> Json:
    """Set status, plan, limits or weight; a plan brings its own weight where none is given. A suspended tenant is
    closed within 5 s: its keys, tokens and logins open nothing; what runs goes on to its end.

    Raises NotFound, InvalidInput; OwnTenant where the installation's own tenant is to be suspended.
    """
    checked = _checked(values)
    with tenant_records.change() as db:
        row = tenant_records.found(db, tenant_id)
        if checked.get("status") == "suspended" and row.name == tenants.DEFAULT_TENANT:
            raise OwnTenant()
        before = tenant_records.public(row)
        changed = {name: value for name, value in checked.items() if before[name] != value}
        if not changed:
            return before
        tenant_records.write(db, row, changed)
        after = tenant_records.public(row)
        was, now = told(before, changed), told(after, changed)
        _write(
            db,
            acting.tenant_id,
            tenant_id,
            acting.record("tenant.change", f"tenant:{tenant_id}", before=was, after=now),
        )
    take_effect()
    tenant_limits.forget()
    return after


def _checked(values: Mapping[str, Any]) -> Json:
    """The values with checked limits, none as None, and with the plan's weight. Raises InvalidInput."""
    checked = dict(values)
    if checked.get("limits") is not None:
        checked["limits"] = plans.validate_overrides(checked["limits"]) or None
    if "plan" in checked and checked.get("weight") is None:
        checked["weight"] = plans.all_plans()[checked["plan"]].weight
    return checked


def _write(db: Session, by: UUID, of: UUID, entry: Entry) -> None:
    """The operators' own record first, always: two of them then wait for each other in one order."""
    for tenant_id in dict.fromkeys((by, of)):
        directory.for_tenant(db, tenant_id)
        audit.write(db, entry)
