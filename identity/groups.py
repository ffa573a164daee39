"""Groups of a tenant are made, changed and filled: the rules, and the entry of the record that each change leaves.

To put somebody into a group is to give them its roles, so whoever does it must have the power of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from errors import NotFound
from identity.acting import Acting, must_hold, take_effect, told
from identity.users import changeable
from storage import audit, directory, groups

Json = dict[str, Any]

TOLD = ("name", "roles")


def create(acting: Acting, name: str, roles: Iterable[str]) -> Json:
    """A new group. Raises AlreadyExists for a name that is taken, Forbidden."""
    roles = list(roles)
    must_hold(acting, roles, "make this group")
    with directory.change(acting.tenant_id) as db:
        row = groups.add(db, acting.tenant_id, {"name": name, "roles": roles})
        made = groups.view(db, row)
        audit.write(db, acting.record("group.create", f"group:{row.id}", after=told(made, TOLD)))
    return made


def change(acting: Acting, group_id: UUID, values: Mapping[str, Any]) -> Json:
    """Set name or roles. Raises NotFound, AlreadyExists, Forbidden, LastOwner."""
    with directory.change(acting.tenant_id) as db:
        row = groups.found(db, acting.tenant_id, group_id)
        must_hold(acting, {*row.roles, *values.get("roles", ())}, "change this group")
        before = groups.view(db, row)
        if all(before[name] == value for name, value in values.items()):
            return before
        groups.write(db, row, values)
        after = groups.view(db, row)
        entry = acting.record("group.change", f"group:{group_id}", before=told(before, TOLD), after=told(after, TOLD))
        audit.write(db, entry)
    take_effect()
    return after


def remove(acting: Acting, group_id: UUID) -> None:
    """Delete a group; its members lose its roles. Raises NotFound, Forbidden, LastOwner."""
    with directory.change(acting.tenant_id) as db:
        row = groups.found(db, acting.tenant_id, group_id)
        must_hold(acting, row.roles, "delete this group")
        before = groups.view(db, row)
        groups.remove(db, row)
        audit.write(db, acting.record("group.delete", f"group:{group_id}", before=told(before, (*TOLD, "members"))))
    take_effect()


def put_member(acting: Acting, group_id: UUID, user_id: UUID) -> None:
    """Put a user into a group; again is nothing. Raises NotFound, Forbidden."""
    with directory.change(acting.tenant_id) as db:
        row = groups.found(db, acting.tenant_id, group_id)
        must_hold(acting, row.roles, "put somebody into this group")
        changeable(acting, db, user_id)
        if groups.put_member(db, acting.tenant_id, group_id, user_id):
            audit.write(db, acting.record("group.add", f"group:{group_id}", after={"user": str(user_id)}))
    take_effect()


def remove_member(acting: Acting, group_id: UUID, user_id: UUID) -> None:
    """Take a user out of a group. Raises NotFound where they are not in it, Forbidden, LastOwner."""
    with directory.change(acting.tenant_id) as db:
        row = groups.found(db, acting.tenant_id, group_id)
        must_hold(acting, row.roles, "take somebody out of this group")
        changeable(acting, db, user_id)
        if not groups.remove_member(db, acting.tenant_id, group_id, user_id):
            raise NotFound("This user is not in this group.")
        audit.write(db, acting.record("group.remove", f"group:{group_id}", before={"user": str(user_id)}))
    take_effect()
