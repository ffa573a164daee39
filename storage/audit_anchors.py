"""Anchors of the record: each tenant's head on a day, to be exported and kept where no owner of the tables reaches."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert

from storage.audit_tables import AuditAnchor, AuditHead
from storage.postgres import keeper_session


class Anchor(NamedTuple):
    """On this UTC day the tenant's chain ended with the entry `seq`, whose hash this is."""

    tenant_id: UUID
    day: date
    seq: int
    hash: bytes


def make(day: date) -> int:
    """Write today's anchor of every tenant that has a record; how many are new. The first of a day stays."""
    heads = select(AuditHead.tenant_id, literal(day), AuditHead.seq, AuditHead.hash).where(AuditHead.seq > 0)
    written = insert(AuditAnchor).from_select(["tenant_id", "day", "seq", "hash"], heads)
    with keeper_session() as db:
        return len(db.execute(written.on_conflict_do_nothing().returning(AuditAnchor.tenant_id)).all())


def all_of(tenant_id: UUID | None = None) -> list[Anchor]:
    """The anchors of a tenant, or of all, by tenant and day."""
    columns = (AuditAnchor.tenant_id, AuditAnchor.day, AuditAnchor.seq, AuditAnchor.hash)
    asked = select(*columns).order_by(AuditAnchor.tenant_id, AuditAnchor.day)
    if tenant_id is not None:
        asked = asked.where(AuditAnchor.tenant_id == tenant_id)
    with keeper_session() as db:
        return [Anchor(tenant, day, seq, bytes(hashed)) for tenant, day, seq, hashed in db.execute(asked).tuples()]
