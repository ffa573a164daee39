"""The budget holds whatever happens at once, and every call leaves one row that says what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from storage import model_calls, tenants
from storage.model_calls import Exhausted, NewCall, Spend, Usage, cached_call, close_call, open_call, settle_lost, spent
from storage.model_policies import set_policy
from storage.tables import uuid7, uuid7_floor
from tests.storage.conftest import rows

LOST_SECONDS = 900.0


def new_call(tenant: UUID, tokens: int = 100, cost: str = "0", **fields: Any) -> NewCall:
    """A call that reserves so much."""
    values: dict[str, Any] = {
        "run_id": uuid7(), "step": "write", "chain": "script", "agent_id": "writer", "operation": "chat",
        "provider": "openai", "backend": "big", "model": "gpt-4o-mini", "prompt_version": "3",
    }  # fmt: skip
    return NewCall(uuid7(), tenant, **(values | fields), tokens=tokens, cost=Decimal(cost))


def row(db: Connection, call: NewCall, columns: str) -> tuple[Any, ...]:
    """Some columns of a call's row."""
    return rows(db, f"SELECT {columns} FROM llm_call_logs WHERE call_id = %s", (str(call.call_id),))[0]


def make_old(owner: Connection, call: NewCall, seconds: float) -> NewCall:
    """The same call, opened so long ago."""
    opened = datetime.now(UTC) - timedelta(seconds=seconds)
    old = replace(call, call_id=UUID(int=uuid7_floor(opened).int + call.call_id.int % 2**60))
    rows(
        owner,
        "UPDATE llm_call_logs SET call_id = %s, created_at = %s WHERE call_id = %s",
        (str(old.call_id), opened, str(call.call_id)),
    )
    rows(
        owner,
        "UPDATE model_spend SET day = %s WHERE tenant_id = %s",
        (opened.date(), str(call.tenant_id)),
    )
    return old


def test_a_call_is_reserved_then_settled(tenant: UUID, owner_db: Connection) -> None:
    # Given a call in flight, its reservation stands
    call = new_call(tenant, tokens=100, cost="0.5", fallback_from="small")
    open_call(call)
    assert spent(tenant) == Spend(0, 100, Decimal(0), Decimal("0.5"))
    assert row(owner_db, call, "status, fallback_from, step, run_id::text") == (
        "started", "small", "write", str(call.run_id),
    )  # fmt: skip
    # When it is closed, Then what it used is counted and the rest given back
    usage = Usage(tokens_in=30, tokens_out=12, cost=Decimal("0.0123456789"), estimated=True)
    close_call(call, usage, status="succeeded", error_code=None, latency_ms=12.5, first_token_ms=3.5)
    assert spent(tenant) == Spend(42, 0, Decimal("0.0123456789"), Decimal(0))
    seen = row(
        owner_db, call, "status, tokens_in, tokens_out, cost, estimated, latency_ms, first_token_ms, prompt, answer"
    )
    assert seen == ("succeeded", 30, 12, usage.cost, True, 12.5, 3.5, None, None)


def test_a_second_close_changes_nothing(tenant: UUID, owner_db: Connection) -> None:
    call = new_call(tenant)
    open_call(call)
    close_call(call, Usage(1, 2), status="failed", error_code="timeout", latency_ms=1.0)
    close_call(call, Usage(50, 50), status="succeeded", latency_ms=1.0)
    assert spent(tenant) == Spend(3, 0)
    assert row(owner_db, call, "status, error_code") == ("failed", "timeout")


def test_texts_are_stored_as_far_as_text_can_be(tenant: UUID, owner_db: Connection) -> None:
    call = new_call(tenant)
    open_call(call)
    prompt = [{"role": "user", "content": "a\x00b\ud800"}]
    close_call(call, Usage(), status="cancelled", prompt=prompt, answer="c\x00d\ud83d\ude00e\ud800")
    assert row(owner_db, call, "answer")[0] == "c\ufffdd\U0001f600e\ufffd"
    assert row(owner_db, call, "prompt::text")[0] == '[{"role": "user", "content": "a\\u0000b\ufffd"}]'


def test_an_answer_from_a_cache_costs_nothing(tenant: UUID, owner_db: Connection) -> None:
    set_policy(tenant, tokens_per_day=1)
    call = new_call(tenant)
    cached_call(call, "l2")
    assert row(owner_db, call, "status, cache_level, tokens_in, reserved_tokens") == ("cached", "l2", 0, 0)
    assert spent(tenant) == Spend()


def test_the_limit_is_met_exactly(tenant: UUID) -> None:
    set_policy(tenant, tokens_per_day=200)
    first, second = new_call(tenant, 100), new_call(tenant, 100)
    open_call(first)
    open_call(second)
    with pytest.raises(Exhausted):
        open_call(new_call(tenant, 1))
    assert spent(tenant) == Spend(0, 200)


def test_a_refusal_writes_nothing_and_says_what_would_help(tenant: UUID, owner_db: Connection) -> None:
    # Given a budget whose half is used and half is reserved
    set_policy(tenant, tokens_per_day=200)
    used, flying = new_call(tenant, 100), new_call(tenant, 100)
    open_call(used)
    close_call(used, Usage(60, 40), status="succeeded")
    open_call(flying)
    # When a call comes that would fit without the one in flight, Then it is told to wait for that
    refused = new_call(tenant, 100)
    with pytest.raises(Exhausted) as waiting:
        open_call(refused)
    assert (waiting.value.what, waiting.value.until_settled) == ("tokens", True)
    assert (waiting.value.limit, waiting.value.needed) == (Decimal(200), Decimal(100))
    assert 0 < waiting.value.seconds_to_next_day <= 86_400
    # And one that would not is told that only a raise or the next day helps
    with pytest.raises(Exhausted) as final:
        open_call(new_call(tenant, 101))
    assert not final.value.until_settled
    assert rows(owner_db, "SELECT FROM llm_call_logs WHERE call_id = %s", (str(refused.call_id),)) == []
    assert spent(tenant) == Spend(100, 100)
    # And after a raise it goes
    set_policy(tenant, tokens_per_day=300)
    open_call(refused)


def test_the_first_call_of_a_day_may_be_too_large(tenant: UUID) -> None:
    set_policy(tenant, tokens_per_day=10)
    with pytest.raises(Exhausted) as refused:
        open_call(new_call(tenant, 11))
    assert not refused.value.until_settled
    assert spent(tenant) == Spend()


def test_money_has_a_limit_of_its_own(tenant: UUID) -> None:
    set_policy(tenant, money_per_day=Decimal("0.3"))
    open_call(new_call(tenant, cost="0.2"))
    with pytest.raises(Exhausted) as refused:
        open_call(new_call(tenant, cost="0.1000000001"))
    assert (refused.value.what, refused.value.until_settled) == ("money", True)
    open_call(new_call(tenant, cost="0.1"))
    # What only a raise helps against is told before what settles by itself
    set_policy(tenant, tokens_per_day=201)
    with pytest.raises(Exhausted) as both:
        open_call(new_call(tenant, cost="0.4"))
    assert (both.value.what, both.value.until_settled) == ("money", False)


def test_what_needs_nothing_is_always_held(tenant: UUID) -> None:
    # Given a budget that was overdrawn: a call used more than it had reserved
    set_policy(tenant, tokens_per_day=10, money_per_day=Decimal(1))
    call = new_call(tenant, 10, cost="1")
    open_call(call)
    close_call(call, Usage(15, 0, Decimal(2)), status="succeeded")
    # Then a note of what no model was asked for is taken, and a model without a price as far as there are tokens
    open_call(new_call(tenant, 0))
    set_policy(tenant, tokens_per_day=100)
    open_call(new_call(tenant, 10))
    with pytest.raises(Exhausted) as refused:
        open_call(new_call(tenant, 10, cost="0.1"))
    assert (refused.value.what, refused.value.until_settled) == ("money", False)


def test_without_a_limit_all_is_counted(tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given settings with a limit, and a tenant who is freed of it
    monkeypatch.setattr(model_calls, "default_limits", lambda: (50, Decimal(0)))
    with pytest.raises(Exhausted):
        open_call(new_call(tenant, 51))
    set_policy(tenant, tokens_per_day=0)
    open_call(new_call(tenant, 10**12))
    assert spent(tenant).tokens_reserved == 10**12


def test_a_settled_call_belongs_to_the_day_it_was_opened_on(tenant: UUID, owner_db: Connection) -> None:
    call = new_call(tenant)
    open_call(call)
    old = make_old(owner_db, call, 2 * 86_400)
    close_call(old, Usage(5, 5), status="succeeded")
    assert spent(tenant) == Spend()
    seen = "SELECT tokens_used, tokens_reserved FROM model_spend WHERE tenant_id = %s"
    assert rows(owner_db, seen, (str(tenant),)) == [(10, 0)]


def test_tenants_do_not_pay_for_each_other(tenant: UUID, app_db: Callable[..., Connection]) -> None:
    other = tenants.create_tenant(f"other-{uuid7()}")
    set_policy(tenant, tokens_per_day=100)
    mine = new_call(tenant)
    open_call(mine)
    open_call(new_call(other, 1000))
    assert (spent(tenant).tokens_reserved, spent(other).tokens_reserved) == (100, 1000)
    # and nobody settles or sees another's call
    close_call(replace(mine, tenant_id=other), Usage(1, 1), status="succeeded")
    assert spent(tenant).tokens_reserved == 100
    for table in ("llm_call_logs", "model_spend"):
        assert rows(app_db(other), f"SELECT count(*) FROM {table} WHERE tenant_id = %s", (str(tenant),)) == [(0,)]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for all calls at once."""
    with ThreadPoolExecutor(200) as executor:
        yield executor


def test_two_hundred_at_once_never_exceed_the_limit(
    tenant: UUID, owner_db: Connection, pool: ThreadPoolExecutor
) -> None:
    # Given a limit that holds 50 of 200 calls, and a watcher that looks at the sum all the time
    limit, watching = 5_000, threading.Event()
    seen: list[tuple[Any, ...]] = []
    set_policy(tenant, tokens_per_day=limit)
    watched = "SELECT tokens_used + tokens_reserved, tokens_reserved FROM model_spend WHERE tenant_id = %s"

    def watch() -> None:
        while not watching.is_set():
            seen.extend(rows(owner_db, watched, (str(tenant),)))

    barrier = threading.Barrier(200)

    def one(number: int) -> Usage | None:
        barrier.wait(30)
        call = new_call(tenant, 100, cost="0.001")
        try:
            open_call(call)
        except Exhausted:
            return None
        usage = Usage(number % 60, number % 41, Decimal(number) / 10**6)
        close_call(call, usage, status="succeeded", latency_ms=1.0)
        close_call(call, usage, status="succeeded", latency_ms=1.0)
        return usage

    # When all of them come at the same moment
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = [usage for usage in pool.map(one, range(200), timeout=60) if usage is not None]
    finally:
        watching.set()
        watcher.join()
    # Then the limit held at every moment, and what is counted is what was used, to the token
    assert seen and max(total for total, _ in seen) <= limit
    assert len(done) >= 50
    used, cost = sum(one.tokens_in + one.tokens_out for one in done), sum(one.cost for one in done)
    assert spent(tenant) == Spend(used, 0, Decimal(cost), Decimal(0))


def test_two_hundred_that_stay_open_are_admitted_up_to_the_limit(
    tenant: UUID, owner_db: Connection, pool: ThreadPoolExecutor
) -> None:
    set_policy(tenant, tokens_per_day=7_777)
    barrier = threading.Barrier(200)

    def one(_: int) -> bool:
        barrier.wait(30)
        try:
            open_call(new_call(tenant, 100))
        except Exhausted as refused:
            assert refused.until_settled
            return False
        return True

    assert sum(pool.map(one, range(200), timeout=60)) == 77
    assert spent(tenant) == Spend(0, 7_700)
    opened = "SELECT count(*) FROM llm_call_logs WHERE tenant_id = %s AND status = 'started'"
    assert rows(owner_db, opened, (str(tenant),)) == [(77,)]


def test_what_a_killed_caller_left_is_settled(tenant: UUID, owner_db: Connection) -> None:
    # Given a call that nobody will close, and one that is under way
    lost = new_call(tenant, 100, cost="0.25")
    open_call(lost)
    lost = make_old(owner_db, lost, LOST_SECONDS + 60)
    young = new_call(tenant, 7)
    open_call(young)
    # When upkeep settles what is old
    assert settle_lost(LOST_SECONDS) >= 1
    # Then its reservation counts as used, and is marked as an estimate
    seen = row(owner_db, lost, "status, tokens_in, tokens_out, cost, estimated, finished_at IS NOT NULL")
    assert seen == ("lost", 100, 0, Decimal("0.25"), True, True)
    assert row(owner_db, young, "status") == ("started",)
    total = "SELECT sum(tokens_used), sum(tokens_reserved), sum(cost_used) FROM model_spend WHERE tenant_id = %s"
    assert rows(owner_db, total, (str(tenant),)) == [(100, 7, Decimal("0.25"))]
    # And a caller who was only slow changes nothing any more
    close_call(lost, Usage(1, 1), status="succeeded")
    assert rows(owner_db, total, (str(tenant),)) == [(100, 7, Decimal("0.25"))]
    assert settle_lost(LOST_SECONDS) == 0


def test_lost_calls_are_settled_in_batches_and_once(
    tenant: UUID, owner_db: Connection, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_calls, "LOST_BATCH", 2)
    for _ in range(5):
        open_call(new_call(tenant, 10))
    rows(
        owner_db,
        "UPDATE llm_call_logs SET created_at = now() - interval '1 second' WHERE tenant_id = %s",
        (str(tenant),),
    )
    # When several upkeepers come at once, and one after them
    assert sum(pool.map(settle_lost, [0.0] * 4)) + settle_lost(0.0) >= 5
    # Then each call was settled once
    seen = "SELECT sum(tokens_used), sum(tokens_reserved) FROM model_spend WHERE tenant_id = %s"
    assert rows(owner_db, seen, (str(tenant),)) == [(50, 0)]
