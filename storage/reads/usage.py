"""What a tenant's model calls used, by day, model, chain and agent: sums over `llm_call_logs`.

Days are UTC days. A call's id is made by a worker's clock and finds the rows; its time is the database's and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, Date, cast, func, select, text, tuple_

from storage.model_calls import CLOCKS_APART, spent
from storage.model_policies import default_limits, policy_of
from storage.model_tables import ModelCall
from storage.postgres import session
from storage.reads.cursors import decode, encode
from storage.tables import uuid7_floor

Group: TypeAlias = Literal["day", "model", "chain", "agent"]

GROUPS: dict[str, ColumnElement[Any]] = {
    "day": cast(func.timezone("UTC", ModelCall.created_at), Date).label("day"),
    "model": ModelCall.model.label("model"),
    "chain": ModelCall.chain.label("chain"),
    "agent": ModelCall.agent_id.label("agent_id"),
}


def _count(*status: str) -> ColumnElement[int]:
    return func.count().filter(ModelCall.status.in_(status))


SUMS: tuple[ColumnElement[Any], ...] = (
    func.count().label("calls"),
    _count("cached").label("cached"),
    _count("failed", "lost").label("failed"),
    func.coalesce(func.sum(ModelCall.tokens_in), 0).label("tokens_in"),
    func.coalesce(func.sum(ModelCall.tokens_out), 0).label("tokens_out"),
    func.coalesce(func.sum(ModelCall.cost), 0).label("cost"),
    func.count().filter(ModelCall.estimated).label("estimated_calls"),
)


def page(
    tenant_id: UUID, first: date, last: date, by: Sequence[Group], *, limit: int, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """The sums of each group of the days from `first` to `last`, in the order of `by`, and the next cursor.

    Raises InvalidInput for a wrong cursor.
    """
    columns = [GROUPS[name] for name in by]
    sums = select(*columns, *SUMS).where(*_within(first, last)).group_by(*columns).subquery()
    keys = [sums.c[column.name] for column in columns]
    asked = select(sums).order_by(*keys).limit(limit + 1)
    kinds = [date.fromisoformat if name == "day" else str for name in by]
    if (place := decode(cursor, *kinds)) is not None:  # type: ignore[arg-type]
        asked = asked.where(tuple_(*keys) > tuple_(*place))
    with session(tenant_id) as db:
        rows = db.execute(asked).mappings().all()
    items = [_shown(row) for row in rows[:limit]]
    following = encode(*(rows[limit - 1][key.name] for key in keys)) if len(rows) > limit else None
    return items, following


def totals(tenant_id: UUID, first: date, last: date) -> dict[str, Any]:
    """The sums of all calls of these days."""
    with session(tenant_id) as db:
        return _shown(db.execute(select(*SUMS).where(*_within(first, last))).mappings().one())


def budget(tenant_id: UUID, tokens_per_day: int | None = None) -> dict[str, Any]:
    """Today's budget; a limit of None is none. tokens_per_day: of the plan, where the tenant's policy says nothing."""
    policy, (tokens, money), now = policy_of(tenant_id), default_limits(), spent(tenant_id)
    tokens = tokens if tokens_per_day is None else tokens_per_day
    tokens = tokens if policy.tokens_per_day is None else policy.tokens_per_day
    money = money if policy.money_per_day is None else policy.money_per_day
    return {
        "tokens": {"limit": tokens or None, "used": now.tokens_used, "reserved": now.tokens_reserved},
        "money": {
            "limit": plain(money) if money else None,
            "used": plain(now.cost_used),
            "reserved": plain(now.cost_reserved),
        },
    }


def plain(amount: Decimal) -> str:
    """An amount of money as a decimal number, without an exponent or zeros at its end."""
    text_of = format(amount, "f")
    return text_of.rstrip("0").rstrip(".") if "." in text_of else text_of


def _within(first: date, last: date) -> tuple[ColumnElement[bool], ...]:
    """The days' calls, in words that reach the index by tenant (storage/tables.py) and leave out other months."""
    since = datetime.combine(first, time(), UTC)
    until = datetime.combine(last, time(), UTC) + timedelta(days=1)
    return (
        ModelCall.call_id >= uuid7_floor(since - CLOCKS_APART),
        ModelCall.call_id < uuid7_floor(until + CLOCKS_APART),
        ModelCall.created_at > text("'-infinity'"),
        ModelCall.created_at >= since,
        ModelCall.created_at < until,
    )


def _shown(row: Any) -> dict[str, Any]:
    counts = {"tokens_in": int(row["tokens_in"]), "tokens_out": int(row["tokens_out"])}
    return {**row, **counts, "cost": plain(row["cost"])}
