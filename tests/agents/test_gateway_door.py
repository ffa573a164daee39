"""The door: what a node sees when models fail, break off, are cached or run out of budget. Real Postgres and Redis."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import redis
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from psycopg2.extensions import connection as Connection
from pydantic import BaseModel

import settings as settings_module
import telemetry
from chains.budget import RAISED
from gateway import breaker
from gateway.backend import Backend
from gateway.backends.discovery import SENTENCES
from gateway.backends.models_file import Configuration, SemanticCache
from gateway.models import Models, NoAnswer
from gateway.request import Caller
from node import Final, Pause, Stopped
from storage import broker, model_cache, model_calls, model_health, model_policies
from storage.tables import uuid7
from tests.agents.fakes import FakeContext
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import echo
from tests.storage.conftest import rows

HELLO = [{"role": "user", "content": "Say hello to the viewers."}]


class Echo(BaseModel):
    """What the proxy answers where JSON is asked for."""

    echo: str


class House:
    """Two backends behind one door: `first` is asked before `second`."""

    def __init__(self, tenant: UUID, first: FaultProxy, second: FaultProxy | None, **limits: Any) -> None:
        tag = uuid7().hex[-8:]
        quick: dict[str, Any] = {"first_token_seconds": 0.5, "api_key": "k", **limits}
        proxies = {"first": first, **({"second": second} if second else {})}
        self.tenant, self.first = tenant, first
        self.backends = tuple(Backend(f"{name}-{tag}", "vllm", at.url, name, **quick) for name, at in proxies.items())
        self.semantic = SemanticCache()
        self.ctx = FakeContext(tenant_id=str(tenant))
        self.run_id = UUID(self.ctx.run_id)

    def door(self, ctx: FakeContext | None = None, **for_whom: Any) -> Models:
        caller = Caller(self.tenant, self.run_id, "write", chain="script", agent_id="script", **for_whom)
        return Models(lambda: Configuration(self.backends, "cost_optimized", self.semantic), caller, ctx or self.ctx)

    def fallbacks(self) -> list[tuple[str, str]]:
        return [(data["to"], data["reason"]) for kind, data in self.ctx.events if kind == "model_fallback"]


@pytest.fixture
def house(tenant: UUID) -> Iterator[Callable[..., House]]:
    """Make a house of two servers; `fault` is the first one's."""
    broker.quick_client.cache_clear()
    breaker.forget()
    with ExitStack() as stack:

        def make(fault: str | None = None, *, second: bool = True, **limits: Any) -> House:
            first = stack.enter_context(FaultProxy(fault=fault))
            return House(tenant, first, stack.enter_context(FaultProxy()) if second else None, **limits)

        yield make
    breaker.forget()


@pytest.fixture
def log(owner_db: Connection, tenant: UUID) -> Callable[[str], list[tuple[Any, ...]]]:
    """Columns of the tenant's call log, oldest first."""

    def read(columns: str) -> list[tuple[Any, ...]]:
        return rows(owner_db, f"SELECT {columns} FROM llm_call_logs WHERE tenant_id = %s ORDER BY call_id", (tenant,))

    return read


# -- the first level: another model ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["500", "429", "hang_before_headers", "cut_chunked", "garbage", "html", "empty", "refusal", "closed"]
)
def test_the_next_model_answers_where_the_first_fails(
    fault: str, house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    # Given a first backend with a fault, When a node asks
    here = house(fault, retries=0)
    said = here.door().chat(HELLO)
    # Then the second one's answer comes, whole, with an event on the run and a row that says who failed before
    assert said == echo(HELLO[0]["content"])
    assert said.model == "second"
    assert [to for to, _ in here.fallbacks()] == [here.backends[1].name]
    assert log("model, status, fallback_from") == [
        ("first", "failed", None),
        ("second", "succeeded", here.backends[0].name),
    ]


def test_an_error_that_passes_is_tried_again_at_the_same_backend(house: Callable[..., House]) -> None:
    here = house()
    here.first.plan = lambda number, _: "503" if number == 0 else None
    assert here.door().chat(HELLO).model == "first"
    assert here.fallbacks() == []


def test_silence_is_not_waited_for_twice(house: Callable[..., House]) -> None:
    here = house("hang_after_headers")
    begun = time.monotonic()
    assert here.door().chat(HELLO).model == "second"
    assert len(here.first.requests) == 1
    assert time.monotonic() - begun < 2.0


def test_a_structure_that_cannot_be_repaired_goes_to_the_next_model(house: Callable[..., House]) -> None:
    here = house()
    here.first.answer = "no JSON at all"
    assert here.door().structured(Echo, HELLO).echo == echo(HELLO[0]["content"])
    assert len(here.first.requests) == 3
    assert here.fallbacks()[0][1] == "unstructured"


def test_nobody_is_left_and_the_reasons_are_told(house: Callable[..., House]) -> None:
    here = house("500", second=False, retries=0)
    with pytest.raises(NoAnswer) as none:
        here.door().chat(HELLO)
    assert here.backends[0].name in str(none.value)


def test_no_able_model_is_final(house: Callable[..., House]) -> None:
    with pytest.raises(Final) as refused:
        house().door().chat(HELLO, language="tlh")
    assert refused.value.code == "no_able_model"


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Set for how long anybody waits for an answer."""

    def set_to(seconds: float) -> None:
        monkeypatch.setenv("BATON_MODEL_ANSWER_SECONDS", str(seconds))
        settings_module.reload()

    yield set_to
    monkeypatch.undo()
    settings_module.reload()


def test_nobody_waits_longer_than_the_setting_says(
    house: Callable[..., House], patience: Callable[[float], None]
) -> None:
    # Given a backend that may be silent for ten minutes, and a patience of one second
    patience(1.0)
    here = house("hang_before_headers", second=False, first_token_seconds=600.0)
    begun = time.monotonic()
    with pytest.raises(NoAnswer):
        here.door().chat(HELLO)
    assert time.monotonic() - begun < 3.0


def test_a_silent_backend_leaves_time_for_another(
    house: Callable[..., House], patience: Callable[[float], None]
) -> None:
    patience(2.0)
    here = house("hang_before_headers", first_token_seconds=600.0)
    assert here.door().chat(HELLO).model == "second"


def test_a_wrong_structure_is_repaired_by_the_model_that_is_told_its_mistake(house: Callable[..., House]) -> None:
    here = house()
    here.first.answer = ['{"wrong": 1}', '```json\n{"echo": "right"}\n```']
    assert here.door().structured(Echo, HELLO).echo == "right"
    told = here.first.requests[1]["messages"]
    assert [message["role"] for message in told[-2:]] == ["assistant", "user"]
    assert "echo" in told[-1]["content"]


def test_embeddings_come_from_who_says_that_it_embeds_and_fall_back(house: Callable[..., House]) -> None:
    # Given a server for embeddings that fails, and the embedded encoder behind it
    here = house("500", retries=0)
    here.backends = (replace(here.backends[0], capabilities=("embedding",)), SENTENCES)
    one, other, same = here.door().embed(["a cat", "a lorry", "a cat"])
    assert here.fallbacks() == [(SENTENCES.name, "server_error")]
    assert one == pytest.approx(same, abs=1e-5)
    assert one != other


def test_a_caller_in_a_hurry_does_not_speak_against_a_backend(house: Callable[..., House]) -> None:
    # Given a silent backend that may take its time, and callers who have none
    here = house("hang_before_headers", second=False, first_token_seconds=20.0)
    here.ctx.seconds_left = lambda: 0.3  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(NoAnswer):
            here.door().chat(HELLO)
    # Then its breaker is closed
    assert breaker.healths([here.backends[0].name])[here.backends[0].name].state == "closed"


# -- streams: never two answers in one ------------------------------------------------------------------------------


def test_a_stream_that_breaks_begins_anew_and_says_so(house: Callable[..., House]) -> None:
    # Given a first model that breaks off in the middle, When a node shows the answer to viewers
    here = house("cut_chunked")
    said = here.door().show(HELLO)
    # Then node and viewers have the second one's answer alone, and the run has the event
    assert said == echo(HELLO[0]["content"])
    assert "".join(here.ctx.tokens) == said
    assert ("model_restarted", {"backend": here.backends[0].name}) in here.ctx.events


def test_whoever_cannot_drop_what_came_gets_an_error_instead_of_a_splice(house: Callable[..., House]) -> None:
    here = house("cut_chunked")
    pieces = here.door().stream(HELLO)
    assert next(pieces)
    with pytest.raises(NoAnswer):
        list(pieces)


def test_a_cancel_closes_the_connection_to_the_model(house: Callable[..., House]) -> None:
    here = house("hang_in_middle", first_token_seconds=20.0)
    threading.Timer(0.3, lambda: setattr(here.ctx, "cancelled", True)).start()
    with pytest.raises(Stopped):
        here.door().chat(HELLO)
    assert here.first.closed.wait(5)


def test_a_node_that_stops_listening_is_settled(
    house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]], tenant: UUID
) -> None:
    pieces = house().door().stream(HELLO)
    assert next(pieces)
    pieces.close()
    assert log("status, estimated") == [("cancelled", True)]
    assert model_calls.spent(tenant).tokens_reserved == 0


# -- the breaker ----------------------------------------------------------------------------------------------------


def test_a_dead_primary_is_left_alone_and_asked_again_when_it_is_back(
    house: Callable[..., House], redis_client: redis.Redis
) -> None:
    # Given a primary that refuses connections
    here = house()
    here.first.kill()
    door = here.door()
    for _ in range(3):
        assert door.chat(HELLO).model == "second"
    # Then nobody tries it any more, and the run is told so each time
    assert door.chat(HELLO, cache="exact").model == "second"
    assert here.fallbacks()[-1] == (here.backends[1].name, "breaker_open")
    # When it is back and its time is over, Then one probe brings it back
    here.first.come_back()
    redis_client.delete(f"baton:model:{here.backends[0].name}:open")
    breaker.forget()
    assert door.chat(HELLO).model == "first"
    # and what the second one said meanwhile is not shown under the first one's name
    redis_client.delete(f"baton:model:{here.backends[0].name}:ramp")
    breaker.forget()
    assert door.chat(HELLO, cache="exact").model == "first"


def half_open(here: House, client: redis.Redis) -> None:
    """Let the first backend's breaker be open, and its time over."""
    for _ in range(3):
        breaker.failed(here.backends[0].name, probe=False)
    client.delete(f"baton:model:{here.backends[0].name}:open")
    breaker.forget()


def test_a_probe_that_ends_for_another_reason_is_given_back(
    house: Callable[..., House], redis_client: redis.Redis, tenant: UUID
) -> None:
    # Given a half-open backend, and a prober whose tenant has no budget
    here = house(second=False)
    half_open(here, redis_client)
    model_policies.set_policy(tenant, tokens_per_day=1)
    with pytest.raises(Pause):
        here.door().chat(HELLO)
    # Then the next caller may probe
    model_policies.set_policy(tenant, tokens_per_day=None)
    assert here.door().chat(HELLO).model == "first"


def test_who_may_not_probe_comes_again_later_and_not_at_once(
    house: Callable[..., House], redis_client: redis.Redis
) -> None:
    here = house(second=False)
    half_open(here, redis_client)
    assert model_health.may_probe(here.backends[0].name, 30.0)
    with pytest.raises(NoAnswer) as none:
        here.door().chat(HELLO)
    assert none.value.after_seconds is not None and none.value.after_seconds >= 0.5


def test_a_model_that_cannot_hold_a_schema_is_no_broken_model(house: Callable[..., House]) -> None:
    here = house(second=False)
    here.first.answer = "no JSON at all"
    for _ in range(4):
        with pytest.raises(Final):
            here.door().structured(Echo, HELLO)
    assert breaker.healths([here.backends[0].name])[here.backends[0].name].state == "closed"


def test_a_slow_listener_is_not_a_slow_model(house: Callable[..., House]) -> None:
    here = house(second=False, timeout_seconds=1.0)
    pieces = here.door().stream(HELLO)
    said = next(pieces)
    time.sleep(1.2)  # the listener's time, not a wait for something
    assert said + "".join(pieces) == echo(HELLO[0]["content"])


def test_a_frozen_redis_costs_a_call_little(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Redis that accepts connections and says nothing
    here = house(second=False)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        silent = redis.Redis(port=frozen.getsockname()[1], socket_timeout=0.25, socket_connect_timeout=0.25, retry=None)
        monkeypatch.setattr(broker, "quick_client", lambda: silent)
        monkeypatch.setattr(broker, "_quick", broker._Lane((1.0,)))
        begun = time.monotonic()
        assert here.door().chat(HELLO, cache="exact").model == "first"
        assert time.monotonic() - begun < 1.5


# -- the second and the third level -----------------------------------------------------------------------------------


def test_rules_that_stand_in_are_told(house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]]) -> None:
    here = house("500", second=False, retries=0)
    door = here.door()
    with pytest.raises(NoAnswer) as none:
        door.chat(HELLO)
    door.by_rules(none.value)
    assert here.ctx.degraded
    assert log("provider, status, fallback_from")[-1] == ("rules", "succeeded", "models")


def test_a_person_is_asked_and_their_answer_is_used(house: Callable[..., House]) -> None:
    here = house()
    with pytest.raises(Pause) as asked:
        here.door().by_person("Please write the opening.", "no model answered")
    assert asked.value.kind == "question"
    # When a raised budget wakes the step, nothing is answered yet
    here.ctx.answer = RAISED
    with pytest.raises(Pause):
        here.door().by_person("Please write the opening.", "no model answered")
    here.ctx.answer = "Good evening!"
    assert here.door().by_person("Please write the opening.", "no model answered") == "Good evening!"


# -- caches -----------------------------------------------------------------------------------------------------------


def test_an_exact_question_is_answered_once_and_costs_once(
    house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]], tenant: UUID
) -> None:
    here = house()
    once = here.door().chat(HELLO, cache="exact")
    spent = model_calls.spent(tenant)
    again = here.door().chat(HELLO, cache="exact")
    assert once == again == echo(HELLO[0]["content"])
    assert len(here.first.requests) == 1
    assert model_calls.spent(tenant) == spent
    assert log("status, cache_level") == [("succeeded", None), ("cached", "l1")]


def test_calls_that_do_not_say_so_are_never_cached(house: Callable[..., House]) -> None:
    here = house()
    here.door().chat(HELLO, cache="exact")
    here.door().chat(HELLO)
    assert len(here.first.requests) == 2


def test_what_another_model_said_is_not_kept_under_the_first_ones_name(house: Callable[..., House]) -> None:
    here = house("500", retries=0)
    assert here.door().chat(HELLO, cache="exact").model == "second"
    here.first.fault = None
    assert here.door().chat(HELLO, cache="exact").model == "first"


def test_the_next_asks_for_itself_where_the_first_never_lands(
    house: Callable[..., House], patience: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given somebody who asked the same and died, and a patience of three seconds
    patience(3.0)
    monkeypatch.setattr(model_cache, "lead", lambda *_: (False, None))
    assert house().door().chat(HELLO, cache="exact").model == "first"


def test_an_answer_from_the_cache_says_so(house: Callable[..., House]) -> None:
    here = house()
    assert here.door().chat(HELLO, cache="exact").cache_level is None
    assert here.door().chat(HELLO, cache="exact").cache_level == "l1"


def test_fifty_identical_calls_at_once_ask_one_model_once(house: Callable[..., House]) -> None:
    here = house()
    here.first.drip_seconds = 0.05
    with ThreadPoolExecutor(50) as pool:
        said = list(pool.map(lambda _: str(here.door().chat(HELLO, cache="exact")), range(50)))
    assert set(said) == {echo(HELLO[0]["content"])}
    assert len(here.first.requests) == 1


# -- budget -----------------------------------------------------------------------------------------------------------


def test_a_run_pauses_when_the_budget_is_used_up(house: Callable[..., House], tenant: UUID) -> None:
    here = house()
    model_policies.set_policy(tenant, tokens_per_day=100)
    with pytest.raises(Pause) as pause:
        here.door().chat(HELLO, max_tokens=200)
    assert (pause.value.kind, pause.value.on_timeout) == ("budget", "again")
    assert here.first.requests == []


def test_what_is_spent_is_what_the_provider_billed(house: Callable[..., House], tenant: UUID) -> None:
    # one backend with time enough: a busy machine must not send questions elsewhere
    here = house(second=False, first_token_seconds=20.0, price_in=Decimal("0.5"), price_out=Decimal("1.5"))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: here.door().chat([{"role": "user", "content": f"question {n}"}]), range(60)))
    billed = here.first.served
    spent = model_calls.spent(tenant)
    assert spent.tokens_used == sum(one.tokens_in + one.tokens_out for one in billed)
    assert spent.cost_used == sum(
        (one.tokens_in * Decimal("0.5") + one.tokens_out * Decimal("1.5")) / 1000 for one in billed
    )
    assert (spent.tokens_reserved, spent.cost_reserved) == (0, Decimal(0))


def test_a_tenant_reaches_only_the_models_it_is_allowed(house: Callable[..., House], tenant: UUID) -> None:
    here = house()
    model_policies.set_policy(tenant, allowed_models=["second"])
    assert here.door().chat(HELLO).model == "second"


# -- record -----------------------------------------------------------------------------------------------------------


def test_texts_are_recorded_only_where_the_tenant_wants_it_and_masked(
    house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]], tenant: UUID
) -> None:
    here = house()
    message = [{"role": "user", "content": "Call 13812345678, my key is sk-abcdefghijklmnop1234567890."}]
    here.door().chat(message)
    model_policies.set_policy(tenant, record_text=True)
    here.door().chat(message)
    without, recorded = log("prompt::text, answer")
    assert without == (None, None)
    assert "138****5678" in recorded[0] and "<openai_key>" in recorded[0]
    assert "13812345678" not in recorded[0] and "sk-abc" not in recorded[0]
    assert recorded[1].startswith("echo:")


def test_a_row_says_who_asked_what_it_took_and_what_it_cost(
    house: Callable[..., House], log: Callable[[str], list[tuple[Any, ...]]]
) -> None:
    here = house(price_in=Decimal("1"), price_out=Decimal("2"))
    here.door().chat(HELLO, prompt_version="v7")
    ((run, step, chain, version, tokens_in, tokens_out, cost, latency, first, status),) = log(
        "run_id, step, chain, prompt_version, tokens_in, tokens_out, cost, latency_ms, first_token_ms, status"
    )
    assert (str(run), step, chain, version, status) == (str(here.run_id), "write", "script", "v7", "succeeded")
    assert cost == (tokens_in * Decimal(1) + tokens_out * Decimal(2)) / 1000
    assert 0 < first <= latency


def test_a_call_is_a_span_under_the_conventions_for_generative_ai(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an exporter, When a model is asked inside a span of the run
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("tests"))
    here = house()
    with telemetry.span("script.write"):
        here.door().chat(HELLO, max_tokens=200)
    # Then the call is its child, with the provider's own numbers
    call, node = exporter.get_finished_spans()
    billed = here.first.served[0]
    assert (call.name, call.kind, call.parent.span_id) == ("chat first", SpanKind.CLIENT, node.context.span_id)
    assert dict(call.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "first",
        "gen_ai.response.model": "first",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.usage.input_tokens": billed.tokens_in,
        "gen_ai.usage.output_tokens": billed.tokens_out,
        "gen_ai.response.finish_reasons": ("stop",),
    }
