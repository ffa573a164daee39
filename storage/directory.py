"""One transaction in which a tenant's users, groups or keys change, with the entry of the record as its last write.

    with directory.change(tenant_id) as db:
        user = users.found(db, tenant_id, user_id)
        ...
        audit.write(db, entry)

Changes of one tenant's directory come one after the other (a lock of the tenant's own), so that what a rule has looked
at stays so until the commit, and two owners cannot disable each other at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import exists, func, or_, select, text
from sqlalchemy.orm import Session

from errors import LastOwner
from storage.identity_tables import Group, GroupMember, User
from storage.postgres import keeper_session, session

OWNER = "owner"  # the role of policy/permissions.py that a tenant is never without


@contextmanager
def change(tenant_id: UUID, *, proofs: bool = False) -> Iterator[Session]:
    """The transaction, with the tenant set for the record. Raises LastOwner where it would leave the tenant without an
    active owner that had one.

    proofs: as the keeper's role, which alone reaches passwords and tokens; it sees every tenant's rows, so that each
    statement names the tenant itself.
    """
    with keeper_session(tenant_id) if proofs else session(tenant_id) as db:
        db.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('baton directory ' || :id, 0))"), _id(tenant_id))
        had_owner = owners(db, tenant_id) > 0
        yield db
        db.flush()
        if had_owner and not owners(db, tenant_id):
            raise LastOwner()


def for_tenant(db: Session, tenant_id: UUID) -> None:
    """Set the tenant of a transaction of the keeper's role: entries of the record go to its chain from here on."""
    db.execute(text("SELECT set_config('baton.tenant', :id, true)"), _id(tenant_id))


def owners(db: Session, tenant_id: UUID) -> int:
    """How many active users of the tenant are owners, by a role of their own or a group's."""
    by_group = exists().where(
        GroupMember.user_id == User.id, GroupMember.group_id == Group.id, Group.roles.contains([OWNER])
    )
    owner = or_(User.roles.contains([OWNER]), by_group)
    counted = select(func.count()).select_from(User)
    return db.scalar(counted.where(User.tenant_id == tenant_id, User.status == "active", owner)) or 0


def _id(tenant_id: UUID) -> dict[str, str]:
    return {"id": str(tenant_id)}
