"""The budget and the record of model calls: reserve before a call, settle after it, a row of `llm_call_logs` for each.

    open_call(call)                         raises Exhausted where today's budget does not hold it
    close_call(call, usage, status="succeeded", ...)
    cached_call(call, "l2")                 an answer that cost nothing

One round trip each. A caller that dies in between leaves its reservation, until `settle_lost` counts it as used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

from storage.model_policies import default_limits
from storage.postgres import hot
from storage.tables import uuid7_floor
from storage.text import whole

Json: TypeAlias = Any
Level: TypeAlias = Literal["l1", "l2", "l3"]
Status: TypeAlias = Literal["succeeded", "failed", "cancelled"]
What: TypeAlias = Literal["tokens", "money"]

OPEN_TRIES = 3
LOST_BATCH = 1000
LOST_BATCHES = 100
CLOCKS_APART = timedelta(minutes=10)  # ids are made by the clocks of workers, times by that of the database


@dataclass(frozen=True)
class NewCall:
    """A call that is about to be made. tokens, cost: what it uses at most, reserved until it is settled."""

    call_id: UUID
    tenant_id: UUID
    run_id: UUID | None
    step: str | None
    chain: str
    agent_id: str
    operation: str
    provider: str
    backend: str
    model: str
    prompt_version: str = ""
    fallback_from: str | None = None
    tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True)
class Usage:
    """What a call used. estimated: the provider told no numbers."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: Decimal = Decimal(0)
    estimated: bool = False


NOTHING = Usage()


@dataclass(frozen=True)
class Spend:
    """What a tenant's calls of today used, and what those in flight have reserved."""

    tokens_used: int = 0
    tokens_reserved: int = 0
    cost_used: Decimal = Decimal(0)
    cost_reserved: Decimal = Decimal(0)


class Exhausted(Exception):
    """Today's budget does not hold this call.

    until_settled: it would, if what calls in flight have reserved were given back; limit, needed: tokens or money.
    """

    def __init__(
        self, what: What, *, until_settled: bool, seconds_to_next_day: float, limit: Decimal, needed: Decimal
    ) -> None:
        super().__init__(f"the budget of {what} for today does not hold this call")
        self.what: What = what
        self.until_settled = until_settled
        self.seconds_to_next_day = seconds_to_next_day
        self.limit, self.needed = limit, needed


def open_call(call: NewCall, *, tokens_per_day: int | None = None) -> None:
    """Reserve what the call uses at most, and open its row. Raises Exhausted, and then nothing is written.

    tokens_per_day: what the tenant's plan gives where its policy for models says nothing; None: the settings' number.
    """
    standing: Any = None
    tokens, money = default_limits()
    default = (tokens if tokens_per_day is None else tokens_per_day, money)
    for _ in range(OPEN_TRIES):
        with hot() as db:
            values = (*_columns(call), call.tokens, call.cost, *default)
            if db.one("open_call", *values, tenant=call.tenant_id, synced=False) is not None:
                return
            standing = db.one("refusal", call.tenant_id, *default, tenant=call.tenant_id, synced=False)
        if (refused := _exhausted(call, *standing)) is not None:
            raise refused
        # what was in the way was given back in between
    raise Exhausted(
        "tokens",
        until_settled=True,
        seconds_to_next_day=standing[-1],
        limit=Decimal(standing[0]),
        needed=Decimal(call.tokens),
    )


def close_call(
    call: NewCall,
    usage: Usage,
    *,
    status: Status,
    error_code: str | None = None,
    latency_ms: float | None = None,
    first_token_ms: float | None = None,
    prompt: Json = None,
    answer: str | None = None,
) -> int | None:
    """Settle the reservation and note how the call ended; a second close changes nothing.

    The tokens that the tenant used on the call's day by now; None: nothing was settled. prompt, answer: only where the
    tenant has them recorded, and masked by the caller.
    """
    used = (usage.tokens_in, usage.tokens_out, usage.cost, usage.estimated)
    said = whole(json.dumps(prompt, ensure_ascii=False)) if prompt is not None else None
    answered = whole(answer).replace("\x00", "\ufffd") if answer is not None else None
    values = (call.call_id, status, error_code, *used, latency_ms, first_token_ms, said, answered)
    with hot() as db:
        row = db.one("close_call", *values, tenant=call.tenant_id, synced=False)
    return int(row[0]) if row else None


def cached_call(call: NewCall, level: Level) -> None:
    """Note an answer that came from a cache: nothing is reserved or used."""
    with hot() as db:
        db.do("cached_call", *_columns(call), level, tenant=call.tenant_id, synced=False)


def settle_lost(older_than_seconds: float) -> int:
    """Settle calls that nobody closed for so long, of all tenants: the reservation counts as used. How many."""
    cutoff = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
    settled = 0
    for _ in range(LOST_BATCHES):
        with hot("keeper") as db:
            row = db.one("settle_lost", uuid7_floor(cutoff + CLOCKS_APART), cutoff, LOST_BATCH)
        found = int(row[0]) if row else 0
        settled += found
        if found < LOST_BATCH:
            break
    return settled


def spent(tenant_id: UUID) -> Spend:
    """What the tenant's calls of today (UTC) used and have reserved."""
    with hot() as db:
        row = db.one("spent", tenant_id, tenant=tenant_id, synced=False)
    return Spend(*row) if row else Spend()


def _columns(call: NewCall) -> tuple[Any, ...]:
    """What every row of a call begins with, in the order of the statements."""
    whose = (call.call_id, call.tenant_id, call.run_id, call.step, call.chain, call.agent_id)
    return (*whose, call.operation, call.provider, call.backend, call.model, call.prompt_version, call.fallback_from)


def _exhausted(
    call: NewCall,
    tokens_limit: int,
    money_limit: Decimal,
    tokens_used: int,
    tokens_reserved: int,
    cost_used: Decimal,
    cost_reserved: Decimal,
    seconds_to_next_day: float,
) -> Exhausted | None:
    """Which limit does not hold the call; None: by now both do. What only a raise helps against is told first."""
    amounts: tuple[tuple[What, Decimal, Decimal, Decimal, Decimal], ...] = (
        ("tokens", Decimal(tokens_limit), Decimal(call.tokens), Decimal(tokens_used), Decimal(tokens_reserved)),
        ("money", money_limit, call.cost, cost_used, cost_reserved),
    )
    for until_settled in (False, True):
        for what, limit, needed, used, reserved in amounts:
            if limit and needed and used + needed + (reserved if until_settled else 0) > limit:
                return Exhausted(
                    what,
                    until_settled=until_settled,
                    seconds_to_next_day=seconds_to_next_day,
                    limit=limit,
                    needed=needed,
                )
    return None
