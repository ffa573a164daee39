"""The groups of a tenant and who is in them, as rows. Who may change them is said in `identity/groups.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from errors import NotFound
from storage.identity_tables import Group, GroupMember, User
from storage.postgres import session
from storage.reads.cursors import decode, encode
from storage.tables import uuid7
from storage.users import groups_of, public, taken_told

Json = dict[str, Any]


def page(tenant_id: UUID, *, limit: int = 50, cursor: str | None = None) -> Json:
    """{"items": [groups, newest first], "next_cursor": str|None}."""
    asked = select(Group).where(Group.tenant_id == tenant_id)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(Group.id < place[0])
    with session(tenant_id) as db:
        rows = list(db.scalars(asked.order_by(Group.id.desc()).limit(limit + 1)))
        sizes = _sizes(db, tenant_id, [row.id for row in rows])
    items = [shown(row, sizes.get(row.id, 0)) for row in rows[:limit]]
    return {"items": items, "next_cursor": encode(items[-1]["id"]) if len(rows) > limit else None}


def members(tenant_id: UUID, group_id: UUID, *, limit: int = 50, cursor: str | None = None) -> Json:
    """{"items": [users, newest first], "next_cursor": str|None}. Raises NotFound where there is no such group."""
    asked = select(User).join(GroupMember, GroupMember.user_id == User.id).where(GroupMember.group_id == group_id)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(User.id < place[0])
    with session(tenant_id) as db:
        found(db, tenant_id, group_id)
        rows = list(db.scalars(asked.where(User.tenant_id == tenant_id).order_by(User.id.desc()).limit(limit + 1)))
        groups = groups_of(db, tenant_id, [row.id for row in rows])
    items = [public(row, groups[row.id]) for row in rows[:limit]]
    return {"items": items, "next_cursor": encode(items[-1]["id"]) if len(rows) > limit else None}


def get(tenant_id: UUID, group_id: UUID) -> Json:
    """The group of this id. Raises NotFound, for another tenant's too."""
    with session(tenant_id) as db:
        return view(db, found(db, tenant_id, group_id))


def of_name(tenant_id: UUID, name: str) -> UUID | None:
    """The id of the group of this name."""
    with session(tenant_id) as db:
        return db.scalar(select(Group.id).where(Group.tenant_id == tenant_id, Group.name == name))


def found(db: Session, tenant_id: UUID, group_id: UUID) -> Group:
    """The group's row in this transaction. Raises NotFound."""
    row = db.scalar(select(Group).where(Group.tenant_id == tenant_id, Group.id == group_id))
    if row is None:
        raise NotFound("There is no group of this id.")
    return row


def add(db: Session, tenant_id: UUID, values: Mapping[str, Any]) -> Group:
    """A new group. values: name, roles. Raises AlreadyExists."""
    row = Group(id=uuid7(), tenant_id=tenant_id, **values)
    with taken_told():
        db.add(row)
        db.flush()
    db.refresh(row)
    return row


def write(db: Session, row: Group, values: Mapping[str, Any]) -> None:
    """Set these columns. Raises AlreadyExists."""
    for name, value in values.items():
        setattr(row, name, value)
    with taken_told():
        db.flush()


def remove(db: Session, row: Group) -> None:
    """Delete the group; its members lose what it gave them."""
    db.delete(row)
    db.flush()


def put_member(db: Session, tenant_id: UUID, group_id: UUID, user_id: UUID) -> bool:
    """Put a user into the group; False: was in it."""
    values = {"tenant_id": tenant_id, "group_id": group_id, "user_id": user_id}
    put = insert(GroupMember).values(values).on_conflict_do_nothing().returning(GroupMember.user_id)
    return db.scalar(put) is not None


def remove_member(db: Session, tenant_id: UUID, group_id: UUID, user_id: UUID) -> bool:
    """Take a user out of the group; False: was not in it."""
    of = (GroupMember.tenant_id == tenant_id, GroupMember.group_id == group_id, GroupMember.user_id == user_id)
    return db.scalar(delete(GroupMember).where(*of).returning(GroupMember.user_id)) is not None


def view(db: Session, row: Group) -> Json:
    """The group as administrators see it, with the number of its members."""
    return shown(row, _sizes(db, row.tenant_id, [row.id]).get(row.id, 0))


def shown(row: Group, members: int) -> Json:
    """The same where the number is known."""
    return {"id": row.id, "name": row.name, "roles": row.roles, "members": members, "created_at": row.created_at}


def _sizes(db: Session, tenant_id: UUID, group_ids: Sequence[UUID]) -> dict[UUID, int]:
    asked = select(GroupMember.group_id, func.count()).where(
        GroupMember.tenant_id == tenant_id, GroupMember.group_id.in_(group_ids)
    )
    return dict(db.execute(asked.group_by(GroupMember.group_id)).tuples().all())
