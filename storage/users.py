"""The users of a tenant as rows: found, listed, made and changed. Who may do it is said in `identity/users.py`.

    with directory.change(tenant_id, proofs=True) as db:
        row = users.add(db, tenant_id, {"email": "Ada@Example.com", "name": "Ada", "roles": ["viewer"]})

A user in public is one flat JSON object; proofs (passwords, tokens) are in tables of their own and never in it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from errors import AlreadyExists, FieldError, NotFound
from storage.identity_tables import Group, GroupMember, User
from storage.postgres import session
from storage.reads.cursors import decode, encode
from storage.tables import uuid7

Json = dict[str, Any]

# the constraint that refused a row -> the field, and what is wrong with it
_TAKEN = {
    "users_by_email": ("email", "belongs to another user"),
    "users_by_subject": ("external_subject", "belongs to another user"),
    "groups_by_name": ("name", "is the name of another group"),
    "tenants_name_key": ("name", "is the name of another tenant"),
}


def email_key(email: str) -> str:
    """What addresses are compared by: width and case folded."""
    return unicodedata.normalize("NFKC", email).strip().casefold()


def page(
    tenant_id: UUID, *, q: str | None = None, status: str | None = None, limit: int = 50, cursor: str | None = None
) -> Json:
    """{"items": [users, newest first], "next_cursor": str|None}. q: part of an address or a name."""
    asked = select(User).where(User.tenant_id == tenant_id)
    if status is not None:
        asked = asked.where(User.status == status)
    if q is not None and (part := email_key(q)):
        asked = asked.where(or_(func.strpos(User.email_key, part) > 0, func.strpos(func.lower(User.name), part) > 0))
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(User.id < place[0])
    with session(tenant_id) as db:
        rows = list(db.scalars(asked.order_by(User.id.desc()).limit(limit + 1)))
        groups = groups_of(db, tenant_id, [row.id for row in rows])
    items = [public(row, groups[row.id]) for row in rows[:limit]]
    return {"items": items, "next_cursor": encode(items[-1]["id"]) if len(rows) > limit else None}


def get(tenant_id: UUID, user_id: UUID) -> Json:
    """The user of this id. Raises NotFound, for another tenant's too."""
    with session(tenant_id) as db:
        row = found(db, tenant_id, user_id)
        return public(row, groups_of(db, tenant_id, [user_id])[user_id])


def found(db: Session, tenant_id: UUID, user_id: UUID) -> User:
    """The user's row in this transaction. Raises NotFound."""
    row = db.scalar(select(User).where(User.tenant_id == tenant_id, User.id == user_id))
    if row is None:
        raise NotFound("There is no user of this id.")
    return row


def of_email(db: Session, tenant_id: UUID, email: str) -> User | None:
    """The user with this address, in whatever case it is written."""
    return db.scalar(select(User).where(User.tenant_id == tenant_id, User.email_key == email_key(email)))


def id_of(tenant_id: UUID, email: str) -> UUID | None:
    """The id of the user with this address."""
    with session(tenant_id) as db:
        row = of_email(db, tenant_id, email)
        return None if row is None else row.id


def of_subject(db: Session, tenant_id: UUID, issuer: str, subject: str) -> User | None:
    """The user that an OIDC provider knows by this subject."""
    external = (User.external_issuer == issuer, User.external_subject == subject)
    return db.scalar(select(User).where(User.tenant_id == tenant_id, *external))


def add(db: Session, tenant_id: UUID, values: Mapping[str, Any]) -> User:
    """A new user. values: email, name, and any other column. Raises AlreadyExists."""
    row = User(id=uuid7(), tenant_id=tenant_id, email_key=email_key(values["email"]), **values)
    with taken_told():
        db.add(row)
        db.flush()
    db.refresh(row)
    return row


def write(db: Session, row: User, values: Mapping[str, Any]) -> None:
    """Set these columns. Raises AlreadyExists."""
    for name, value in values.items():
        setattr(row, name, value)
    if "email" in values:
        row.email_key = email_key(values["email"])
    row.updated_at = func.now()
    with taken_told():
        db.flush()
    db.refresh(row)


def groups_of(db: Session, tenant_id: UUID, user_ids: Sequence[UUID]) -> dict[UUID, list[Group]]:
    """The groups of each of these users, by name."""
    asked = (
        select(GroupMember.user_id, Group)
        .join(Group, Group.id == GroupMember.group_id)
        .where(Group.tenant_id == tenant_id, GroupMember.user_id.in_(user_ids))
        .order_by(Group.name)
    )
    groups: dict[UUID, list[Group]] = {user_id: [] for user_id in user_ids}
    for user_id, group in db.execute(asked).tuples():
        groups[user_id].append(group)
    return groups


def public(row: User, groups: Sequence[Group]) -> Json:
    """The user as administrators see it."""
    return {
        "id": row.id,
        "email": row.email,
        "name": row.name,
        "roles": row.roles,
        "groups": [group.name for group in groups],
        "status": row.status,
        "external_issuer": row.external_issuer,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "last_login_at": row.last_login_at,
    }


@contextmanager
def taken_told() -> Iterator[None]:
    """Say which field it was that the database refused. Raises AlreadyExists."""
    try:
        yield
    except IntegrityError as refused:
        orig = refused.orig
        name = (orig.diag.constraint_name if isinstance(orig, psycopg2.errors.IntegrityError) else None) or ""
        if name not in _TAKEN:
            raise
        field, message = _TAKEN[name]
        raise AlreadyExists(f"{field} {message}", errors=[FieldError(field=field, message=message)]) from None
