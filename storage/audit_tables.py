"""The tables of the record: who did what, in a chain of hashes for each tenant, and what was erased on request.

The application adds to the record through the function `baton_audit` alone (migration 0006) and can neither change nor
remove a row of it. Nothing here names a person who asked to be forgotten.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, one_of

ERASURE_STATUSES = ("requested", "done")


class AuditLog(Base):
    """One entry. seq: 1, 2, 3, … in its tenant; hash: of the entry and of the hash before it (migration 0006).

    actor: `user:<id>`, `key:<prefix>`, `system:<name>` or `anonymous`; action: `user.create`; resource: `user:<id>`;
    before, after: what changed, masked; source: the caller's address. Partitioned by month of the entry's id.
    """

    __tablename__ = "audit_logs"
    __table_args__ = (
        Index("audit_logs_in_order", "tenant_id", "seq"),
        Index("audit_logs_of_resource", "tenant_id", "resource", "seq"),
        Index("audit_logs_of_actor", "tenant_id", "actor", "seq"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    seq: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    resource: Mapped[str]
    before: Mapped[Any | None]
    after: Mapped[Any | None]
    source: Mapped[str | None]
    trace_id: Mapped[str | None]
    prev_hash: Mapped[bytes]
    hash: Mapped[bytes]


class AuditHead(Base):
    """The newest entry of a tenant's chain; whoever adds one holds this row. at: its time, which never goes back;
    cut_*: the last that retention took."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    hash: Mapped[bytes] = mapped_column(server_default=text("''::bytea"))
    at: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    cut_seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cut_hash: Mapped[bytes] = mapped_column(server_default=text("''::bytea"))


class AuditAnchor(Base):
    """The head of a tenant's chain at the end of a day: exported and kept elsewhere, it proves what came before."""

    __tablename__ = "audit_anchors"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Erasure(Base):
    """A request to forget a subject, and its receipt. subject: whom, until it is done; subject_hash: HMAC of it."""

    __tablename__ = "erasures"
    __table_args__ = (
        one_of("status", ERASURE_STATUSES, "erasures"),
        Index("erasures_newest", "tenant_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    subject: Mapped[str | None]
    subject_hash: Mapped[bytes]
    status: Mapped[str] = mapped_column(server_default=text("'requested'"))
    run_id: Mapped[UUID | None]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    done_at: Mapped[datetime | None]
    counts: Mapped[Any | None]
