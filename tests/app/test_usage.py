"""What model calls used: summed by what is asked for, page by page, for one tenant alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from app.schemas.usage import UsagePage
from storage import tenants
from storage.model_calls import NewCall, Usage, cached_call, close_call, open_call
from storage.model_policies import set_policy
from storage.model_tables import ModelCall
from storage.postgres import session
from storage.tables import uuid7, uuid7_floor
from tests.app.rows import Client

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MakeCall = Callable[..., None]


@pytest.fixture
def make_call(tenant: UUID) -> MakeCall:
    """Write a call that is over, made at `at`."""

    def make(at: datetime = NOON, *, owner: UUID | None = None, **fields: Any) -> None:
        values: dict[str, Any] = {
            "chain": "script", "agent_id": "writer", "operation": "chat", "provider": "openai", "backend": "big",
            "model": "large", "prompt_version": "", "status": "succeeded", "tokens_in": 10, "tokens_out": 5,
            "cost": Decimal("0.001"), "created_at": at,
        }  # fmt: skip
        call_id = UUID(int=uuid7_floor(at).int + uuid7().int % 2**60)
        with session(owner or tenant) as db:
            db.add(ModelCall(call_id=call_id, tenant_id=owner or tenant, **(values | fields)))

    return make


def usage(client: Client, query: str = "") -> Any:
    """The answer to a query, held against its description."""
    answer = client.get(f"/api/v1/usage{query}")
    assert answer.status_code == 200, answer.text
    UsagePage.model_validate(answer.json)
    return answer.json


def test_a_tenant_that_asked_for_nothing(client: Client) -> None:
    seen = usage(client)
    assert (seen["items"], seen["next_cursor"], seen["totals"]["calls"], seen["totals"]["cost"]) == ([], None, 0, "0")
    assert seen["budget"] == {
        "tokens": {"limit": None, "used": 0, "reserved": 0},
        "money": {"limit": None, "used": "0", "reserved": "0"},
    }


def test_calls_are_summed_by_utc_day(client: Client, make_call: MakeCall) -> None:
    # Given calls of every kind, one of them in the last moment of its day
    make_call(NOON)
    make_call(NOON, status="failed", tokens_in=0, tokens_out=0, cost=Decimal(0))
    make_call(NOON, status="lost", estimated=True)
    make_call(NOON, status="cached", cache_level="l2", tokens_in=0, tokens_out=0, cost=Decimal(0))
    make_call(NOON.replace(hour=23, minute=59, second=59))
    make_call(NOON + timedelta(hours=12))
    # When a stretch of days is asked for, Then both its ends are in it
    seen = usage(client, "?from=2026-03-10&to=2026-03-11")
    assert seen["items"] == [
        {
            "day": "2026-03-10", "calls": 5, "cached": 1, "failed": 2, "tokens_in": 30, "tokens_out": 15,
            "cost": "0.003", "estimated_calls": 1,
        },
        {
            "day": "2026-03-11", "calls": 1, "cached": 0, "failed": 0, "tokens_in": 10, "tokens_out": 5,
            "cost": "0.001", "estimated_calls": 0,
        },
    ]  # fmt: skip
    assert (seen["totals"]["calls"], seen["totals"]["cost"], seen["totals"]["tokens_in"]) == (6, "0.004", 40)
    assert usage(client, "?from=2026-03-11&to=2026-03-11")["totals"]["calls"] == 1
    assert usage(client, "?from=2026-03-12&to=2026-03-13")["items"] == []


def test_the_default_is_the_last_thirty_days(client: Client, make_call: MakeCall) -> None:
    today = datetime.now(UTC)
    for days in (0, 29, 30):
        make_call(today - timedelta(days=days))
    seen = usage(client)
    assert [item["day"] for item in seen["items"]] == [str((today - timedelta(days=d)).date()) for d in (29, 0)]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("model", [{"model": "large"}, {"model": "small"}]),
        ("chain", [{"chain": "probe"}, {"chain": "script"}]),
        ("agent", [{"agent_id": ""}, {"agent_id": "writer"}]),
        ("agent,model", [{"agent_id": "", "model": "small"}, {"agent_id": "writer", "model": "large"}]),
    ],
)
def test_calls_are_summed_by_what_is_asked(
    client: Client, make_call: MakeCall, by: str, expected: list[dict[str, str]]
) -> None:
    make_call()
    make_call(model="small", chain="probe", agent_id="")
    seen = usage(client, f"?from=2026-03-10&to=2026-03-10&by={by}")
    sums = {"calls", "cached", "failed", "tokens_in", "tokens_out", "cost", "estimated_calls"}
    assert [{name: value for name, value in item.items() if name not in sums} for item in seen["items"]] == expected
    assert [item["calls"] for item in seen["items"]] == [1, 1]


def test_a_long_list_comes_in_pages(client: Client, make_call: MakeCall) -> None:
    # Given five groups, and pages of two
    for day in range(5):
        make_call(NOON + timedelta(days=day), model=f"m{day % 2}")
    query, seen, cursor = "?from=2026-03-01&to=2026-03-31&by=model,day&limit=2", [], ""
    for _ in range(3):
        page = usage(client, query + cursor)
        seen += [(item["model"], item["day"][-2:]) for item in page["items"]]
        assert page["totals"]["calls"] == 5
        cursor = f"&cursor={page['next_cursor']}"
    # Then each comes once, in order, and the last page says that it is the last
    assert page["next_cursor"] is None
    assert seen == [("m0", "10"), ("m0", "12"), ("m0", "14"), ("m1", "11"), ("m1", "13")]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=1", "from"),
        ("to=2026-02-30", "to"),
        ("to=9999-12-31", "to"),
        ("from=2026-03-11&to=2026-03-10", "from"),
        ("from=2020-01-01&to=2026-03-10", "from"),
        ("by=hour", "by"),
        ("by=day,day", "by"),
        ("by=day,", "by"),
        ("cursor=abc", "cursor"),
        ("by=model&cursor=WyJhIiwgImIiXQ", "cursor"),
        ("limit=0", "limit"),
        ("until=2026-03-10", "until"),
    ],
)
def test_a_wrong_field_is_named(client: Client, query: str, field: str) -> None:
    answer = client.get(f"/api/v1/usage?{query}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json["errors"]] == [field]


def test_todays_budget_is_shown(client: Client, tenant: UUID) -> None:
    # Given a tenant with limits, a call that is over, one in flight, and an answer from a cache
    set_policy(tenant, tokens_per_day=1000, money_per_day=Decimal("2.50"))

    def call() -> NewCall:
        names = {"chain": "c", "agent_id": "a", "operation": "chat", "provider": "vllm", "backend": "b", "model": "m"}
        return NewCall(uuid7(), tenant, None, None, **names, tokens=100, cost=Decimal("0.5"))

    over = call()
    open_call(over)
    close_call(over, Usage(30, 4, Decimal("0.125")), status="succeeded")
    open_call(call())
    cached_call(call(), "l1")
    # Then the page tells them
    seen = usage(client)
    assert seen["budget"] == {
        "tokens": {"limit": 1000, "used": 34, "reserved": 100},
        "money": {"limit": "2.5", "used": "0.125", "reserved": "0.5"},
    }
    assert (seen["totals"]["calls"], seen["totals"]["cached"], seen["totals"]["cost"]) == (3, 1, "0.125")


def test_a_tenant_sees_its_own_calls_only(flask_app: Flask, tenant: UUID, make_call: MakeCall) -> None:
    make_call()
    other = tenants.create_tenant(f"other-{uuid7()}")
    make_call(owner=other, tokens_in=99)
    stranger = Client(flask_app, tenants.create_api_key(other, "tests"))
    assert usage(stranger, "?from=2026-03-10&to=2026-03-10")["totals"]["tokens_in"] == 99
    assert Client(flask_app, "bt_00000000_" + "0" * 48).get("/api/v1/usage").status_code == 401
