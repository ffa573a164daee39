"""The tables of the engine as SQLAlchemy models: what a row of each means, and which index serves whom.

The truth about the schema is told twice, here (`model_tables.py`, `studio_tables.py`, `identity_tables.py` and
`audit_tables.py` tell of the rest) and in `migrations/versions/`; a test compares the two in the server's own catalog.
The hot path (claim, commit, sweep) does not use these classes: it has named SQL in `sql/`.

Four things hold for all of it:

* ids are UUIDv7 made in Python, so that order of id is order of time (`events` is partitioned by it);
* payloads are `json`, not `jsonb`: they are stored as they came, keep the character U+0000, and cost no parsing;
* a status is text with a CHECK, because an enum cannot lose a value in a migration that keeps old code running;
* a partial index for the sweep, or one that begins with the tenant, has a second condition that nothing on the hot
  path can imply. Where a claim's own words (`open`, `status = 'running'`) or its tenant imply the whole condition, the
  planner prefers that index to the primary key whenever it was small at the last ANALYZE, and each claim then reads
  every open row, or every run of the tenant: seen in measurements.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Numeric,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

RUN_STATUSES = ("pending", "running", "paused", "completed", "failed", "cancelled")
ACTIVE_RUN_STATUSES = ("pending", "running", "paused")
STOP_REASONS = ("cancelled", "failed", "deadline", "interrupted")
ON_BUSY = ("reject", "queue", "interrupt")
STEP_STATUSES = ("succeeded", "failed", "retrying", "waiting")
EFFECT_KINDS = ("idempotent", "at_most_once")
EFFECT_STATUSES = ("intended", "done", "unknown")


def uuid7() -> UUID:
    """A new id: 48 bits of Unix time in ms, 12 of its fraction, 62 random bits.

    Later than those this host made before, while its clock does not go back. RFC 9562, 5.7 with method 3 of 6.2.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62))


def uuid7_floor(moment: datetime) -> UUID:
    """The smallest id that can be made at `moment` (aware) or later: bounds of partitions and of what is old."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def one_of(column: str, values: tuple[str, ...], table: str) -> CheckConstraint:
    """The CHECK that a text column holds one of `values`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{table}_{column}_check")


class Base(DeclarativeBase):
    """What all tables share: a Python type stands for the same column type everywhere."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
        bytes: LargeBinary(),
        float: Double(),
        Decimal: Numeric(20, 10),
        dict[str, Any]: JSON(none_as_null=True),
        list[str]: ARRAY(Text()),
        Any: JSON(none_as_null=True),
    }


class Session(Base):
    """A conversation of a user; one run at a time may change it."""

    __tablename__ = "sessions"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str | None]
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    data: Mapped[Any | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Turn(Base):
    """One message of a session. A run that is repeated cannot add its turn twice (`turns_once`)."""

    __tablename__ = "turns"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "session_id"], ["sessions.tenant_id", "sessions.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "session_id", "run_id", "role", name="turns_once"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(primary_key=True)
    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[UUID | None]
    role: Mapped[str]
    content: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Run(Base):
    """One durable run of a chain. `seq` is its newest event, `done` the number of its checkpoints.

    actor: who started it, as the audit names them; limited: it waits until its tenant has a free slot, and `admitted`
    says that it got one.

    No index holds `seq` or `done`, and a page keeps room: a commit then writes the new row version beside the old
    one and touches no index (a HOT update).
    """

    __tablename__ = "runs"
    __table_args__ = (
        one_of("status", RUN_STATUSES, "runs"),
        one_of("stop", STOP_REASONS, "runs"),
        one_of("on_busy", ON_BUSY, "runs"),
        # the same request again finds its run
        Index("runs_by_key", "tenant_id", "idem_key", unique=True, postgresql_where=text("idem_key IS NOT NULL")),
        # one run at a time may change a session, a paused one included
        Index(
            "runs_session_busy",
            "tenant_id",
            "session_id",
            unique=True,
            postgresql_where=text("status IN ('running', 'paused') AND session_id IS NOT NULL"),
        ),
        # the list of runs, newest first
        Index("runs_newest", "tenant_id", "created_at", "id", postgresql_where=text("created_at > '-infinity'")),
        # the runs of a session: its history
        Index(
            "runs_of_session",
            "tenant_id",
            "session_id",
            "created_at",
            postgresql_where=text("session_id IS NOT NULL"),
        ),
        # its queue, whatever its history
        Index(
            "runs_of_session_active",
            "tenant_id",
            "session_id",
            "id",
            postgresql_where=text("status IN ('pending', 'running', 'paused') AND session_id IS NOT NULL"),
        ),
        # dead letters
        Index("runs_failed", "tenant_id", "finished_at", postgresql_where=text("status = 'failed'")),
        # the sweep: active runs (say `created_at > '-infinity'` to reach it), deadlines, stops
        Index(
            "runs_active",
            "created_at",
            postgresql_where=text("status IN ('pending', 'running', 'paused') AND created_at > '-infinity'"),
        ),
        Index(
            "runs_deadline",
            "deadline_at",
            postgresql_where=text("deadline_at IS NOT NULL AND status IN ('pending', 'running', 'paused')"),
        ),
        # admission: a limited tenant's runs that wait, in their order, and those that hold a slot
        Index(
            "runs_waiting",
            "tenant_id",
            text("priority DESC"),
            "created_at",
            "id",
            postgresql_where=text("limited AND NOT admitted AND status = 'pending'"),
        ),
        Index(
            "runs_admitted",
            "tenant_id",
            postgresql_where=text("limited AND admitted AND status IN ('pending', 'running')"),
        ),
        Index(
            "runs_stopping",
            "stop_at",
            postgresql_where=text("stop IS NOT NULL AND status IN ('pending', 'running', 'paused')"),
        ),
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 1000,
            }
        },
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    chain: Mapped[str]
    chain_version: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'pending'"))
    stop: Mapped[str | None]
    stop_at: Mapped[datetime | None]
    seq: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    done: Mapped[int] = mapped_column(server_default=text("0"))
    resumes: Mapped[int] = mapped_column(server_default=text("0"))
    session_id: Mapped[str | None]
    on_busy: Mapped[str] = mapped_column(server_default=text("'reject'"))
    agent_id: Mapped[str | None]
    user_id: Mapped[str | None]
    parent_run_id: Mapped[UUID | None]
    fork_after: Mapped[str | None]
    idem_key: Mapped[str | None]
    idem_hash: Mapped[bytes | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    deadline_at: Mapped[datetime | None]
    trace_id: Mapped[str]
    traceparent: Mapped[str | None]
    input: Mapped[Any] = mapped_column(JSON(), nullable=False)
    facts: Mapped[Any | None]
    output: Mapped[Any | None]
    output_ref: Mapped[str | None]
    error: Mapped[Any | None]
    pause: Mapped[Any | None]
    degraded_reason: Mapped[str | None]
    actor: Mapped[str | None]
    limited: Mapped[bool] = mapped_column(server_default=text("false"))
    admitted: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Worker(Base):
    """A worker process that says it is alive until `alive_until`, and holds the advisory lock `lock_key` meanwhile."""

    __tablename__ = "workers"
    __table_args__ = ({"postgresql_with": {"fillfactor": 20}},)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    lock_key: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    alive_until: Mapped[datetime]


class Segment(Base):
    """A straight line of at most 8 planned steps; the one at `pos` is queued or runs, under the lease `token`.

    A claim and a commit change only columns without an index (HOT); opening, closing and delaying touch the one index.
    """

    __tablename__ = "segments"
    __table_args__ = (
        # the sweep alone: it says `due_at > '-infinity'` to reach it
        Index("segments_due", "due_at", postgresql_where=text("open AND due_at > '-infinity'")),
        {
            "postgresql_with": {
                "fillfactor": 50,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 2000,
            }
        },
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    keys: Mapped[list[str]]
    nodes: Mapped[list[str]]
    pos: Mapped[int] = mapped_column(server_default=text("0"))
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    open: Mapped[bool] = mapped_column(server_default=text("true"))
    queue: Mapped[str]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(server_default=text("0"))
    token: Mapped[UUID | None]
    worker: Mapped[UUID | None]
    claimed_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Step(Base):
    """A step that ended or waits. A succeeded one is a checkpoint: `version` is its place, `output` its delta."""

    __tablename__ = "steps"
    __table_args__ = (
        one_of("status", STEP_STATUSES, "steps"),
        # the sweep: waits and delayed retries whose time has come
        Index("steps_due", "due_at", postgresql_where=text("status = 'waiting' AND due_at IS NOT NULL")),
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    node: Mapped[str]
    segment: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    losses: Mapped[int] = mapped_column(server_default=text("0"))
    status: Mapped[str]
    version: Mapped[int | None]
    output: Mapped[Any | None]
    output_ref: Mapped[str | None]
    sha256: Mapped[str | None]
    facts: Mapped[Any | None]
    error: Mapped[Any | None]
    pause: Mapped[Any | None]
    answer: Mapped[Any | None]
    due_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Effect(Base):
    """One thing done to the outside world, in a ledger. `key` is made of run, step and name, never of the attempt."""

    __tablename__ = "effects"
    __table_args__ = (
        one_of("kind", EFFECT_KINDS, "effects"),
        one_of("status", EFFECT_STATUSES, "effects"),
        UniqueConstraint("run_id", "step", "name", name="effects_of_run"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[UUID]
    tenant_id: Mapped[UUID]
    step: Mapped[str]
    attempt: Mapped[int]
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    request_hash: Mapped[str]
    result: Mapped[Any | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class Event(Base):
    """What happened to a run, numbered 1, 2, 3, ... without a gap. Partitioned by month of the run's id."""

    __tablename__ = "events"
    __table_args__ = ({"postgresql_partition_by": "RANGE (run_id)"},)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    type: Mapped[str]
    step: Mapped[str | None]
    node: Mapped[str | None]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    data: Mapped[Any | None]


class Broker(Base):
    """The one row that says which memory of the broker we trust: a marker that Redis must hold too."""

    __tablename__ = "broker"
    __table_args__ = (CheckConstraint("id = 1", name="broker_one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default=text("1"))
    marker: Mapped[str]


class Slot(Base):
    """A time at which a schedule fired. The row is unique, so two beats fire once."""

    __tablename__ = "slots"

    schedule: Mapped[str] = mapped_column(primary_key=True)
    fire_at: Mapped[datetime] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
