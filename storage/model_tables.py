"""The tables of the model gateway: what a tenant may use, what it used, each call, and answers found again by meaning.

What `tables.py` says of the engine's tables holds here too. Budget and record are written by named SQL
(`sql/models.sql`), these classes serve what a person clicks.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import REAL, BigInteger, CheckConstraint, Index, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, one_of

CALL_STATUSES = ("started", "succeeded", "failed", "cancelled", "cached", "lost")
CACHE_LEVELS = ("l1", "l2", "l3")


class ModelPolicy(Base):
    """What a tenant may ask of models. A null stands for what everybody has: all models, the settings' limits."""

    __tablename__ = "model_policies"
    __table_args__ = (
        CheckConstraint("tokens_per_day >= 0 AND money_per_day >= 0", name="model_policies_limits_check"),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    allowed_models: Mapped[list[str] | None]
    tokens_per_day: Mapped[int | None] = mapped_column(BigInteger)
    money_per_day: Mapped[Decimal | None]
    record_text: Mapped[bool] = mapped_column(server_default=text("false"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ModelSpend(Base):
    """What a tenant's calls of one UTC day used, and what those in flight have reserved. Locked for each of them."""

    __tablename__ = "model_spend"
    __table_args__ = (
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 1000,
            }
        },
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    tokens_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tokens_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cost_used: Mapped[Decimal] = mapped_column(server_default=text("0"))
    cost_reserved: Mapped[Decimal] = mapped_column(server_default=text("0"))


class ModelCall(Base):
    """One call of a model, or an answer from a cache. Partitioned by month of its own id; it outlives its run.

    A call is settled once: when its status leaves `started`. The reservation belongs to the day of `created_at`.
    """

    __tablename__ = "llm_call_logs"
    __table_args__ = (
        one_of("status", CALL_STATUSES, "llm_call_logs"),
        one_of("cache_level", CACHE_LEVELS, "llm_call_logs"),
        # upkeep: calls whose caller died. A close implies its condition, and may use it: it leads to the same one row.
        Index("llm_call_logs_open", "call_id", postgresql_where=text("status = 'started'")),
        # the usage page, which says `created_at > '-infinity'` to reach it: one tenant's calls in a stretch of time
        Index("llm_call_logs_of_tenant", "tenant_id", "call_id", postgresql_where=text("created_at > '-infinity'")),
        # erasure and retention: the texts of a run's calls, which go with it
        Index("llm_call_logs_with_text", "run_id", postgresql_where=text("prompt IS NOT NULL OR answer IS NOT NULL")),
        {"postgresql_partition_by": "RANGE (call_id)"},
    )

    call_id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    run_id: Mapped[UUID | None]
    step: Mapped[str | None]
    chain: Mapped[str]
    agent_id: Mapped[str]
    operation: Mapped[str]
    provider: Mapped[str]
    backend: Mapped[str]
    model: Mapped[str]
    prompt_version: Mapped[str]
    fallback_from: Mapped[str | None]
    cache_level: Mapped[str | None]
    status: Mapped[str]
    error_code: Mapped[str | None]
    reserved_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    reserved_cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    tokens_in: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tokens_out: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    estimated: Mapped[bool] = mapped_column(server_default=text("false"))
    latency_ms: Mapped[float | None]
    first_token_ms: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    prompt: Mapped[Any | None]
    answer: Mapped[str | None]


class SemanticAnswer(Base):
    """An answer that is given again to a question of the same meaning, within one scope (storage/semantic_cache.py).

    The embedding is a plain array, so that the schema needs no extension. Where pgvector is there, an index by
    distance stands beside these; no migration makes it.
    """

    __tablename__ = "semantic_answers"
    __table_args__ = (
        Index("semantic_answers_of_scope", "tenant_id", "scope", "question_hash", unique=True),
        Index("semantic_answers_expired", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    scope: Mapped[bytes]
    question_hash: Mapped[bytes]
    embedding: Mapped[list[float]] = mapped_column(ARRAY(REAL()))
    answer: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
