"""The exact levels of the cache, and one flight: who is answered from where, and who never is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from uuid import UUID

import pytest
import redis
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from app.api import metrics as metrics_api
from gateway.backends.models_file import Configuration
from gateway.cache import flight as flights
from gateway.cache import lookup as cache
from gateway.cache.lookup import CachedAnswer, Hit, Miss
from gateway.request import Ask, Caller
from node import Stopped
from settings import Settings
from storage import broker, model_cache
from storage.tables import uuid7

MODEL = "some-model"
ANSWER = CachedAnswer("four", model=MODEL, backend="b", finish_reason="stop")
ASK = Ask(
    [{"role": "system", "content": "You count."}, {"role": "user", "content": "2 + 2?"}],
    cache="exact",
    prompt_version="1",
    max_tokens=20,
    temperature=0.0,
    seed=1,
)
OFF = Configuration(())


@pytest.fixture(autouse=True)
def _empty(settings_env: Settings) -> Iterator[None]:
    broker.quick_client.cache_clear()
    cache.forget()
    yield
    cache.forget()
    broker.quick_client.cache_clear()


@pytest.fixture
def caller() -> Caller:
    """A caller of a tenant of its own: caches keep tenants apart, so tests are apart too."""
    return Caller(uuid7(), clearance="internal", policy_version="p1")


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is away."""
    monkeypatch.setattr(broker, "quickly", lambda call, what: None)


def look(ask: Ask, caller: Caller, model: str = MODEL) -> Hit | Miss:
    return cache.look(ask, caller, model, OFF)


def kept(ask: Ask, caller: Caller, answer: CachedAnswer = ANSWER) -> Miss:
    """Keep an answer to the ask."""
    missed = look(ask, caller)
    assert isinstance(missed, Miss)
    cache.keep(missed, answer)
    return missed


def test_the_same_ask_is_answered_by_this_process_then_by_another(caller: Caller) -> None:
    # Given an answer with all it may have
    answer = replace(ANSWER, tool_calls=({"id": "1", "name": "add", "args": {"a": 2, "b": "二"}},))
    kept(ASK, caller, answer)
    # Then this process has it, another finds it in Redis, and has it itself from then on
    assert look(ASK, caller) == Hit("l1", answer)
    cache.forget()
    assert look(ASK, caller) == Hit("l2", answer)
    assert look(ASK, caller) == Hit("l1", answer)


LEAKS: dict[str, Callable[[Ask, Caller], tuple[Ask, Caller, str]]] = {
    "tenant": lambda ask, caller: (ask, replace(caller, tenant_id=uuid7()), MODEL),
    "clearance": lambda ask, caller: (ask, replace(caller, clearance="secret"), MODEL),
    "policy version": lambda ask, caller: (ask, replace(caller, policy_version="p2"), MODEL),
    "prompt version": lambda ask, caller: (replace(ask, prompt_version="2"), caller, MODEL),
    "model": lambda ask, caller: (ask, caller, "another-model"),
    "system prompt": lambda ask, caller: (
        replace(ask, messages=[{"role": "system", "content": "You lie."}, ask.messages[1]]),
        caller,
        MODEL,
    ),
    "question": lambda ask, caller: (
        replace(ask, messages=[ask.messages[0], {"role": "user", "content": "2 + 3?"}]),
        caller,
        MODEL,
    ),
    "order": lambda ask, caller: (replace(ask, messages=list(reversed(ask.messages))), caller, MODEL),
    "tools": lambda ask, caller: (replace(ask, tools=[{"type": "function"}]), caller, MODEL),
    "schema": lambda ask, caller: (replace(ask, schema={"type": "object"}), caller, MODEL),
    "max_tokens": lambda ask, caller: (replace(ask, max_tokens=21), caller, MODEL),
    "temperature": lambda ask, caller: (replace(ask, temperature=0.1), caller, MODEL),
    "seed": lambda ask, caller: (replace(ask, seed=2), caller, MODEL),
}


@pytest.mark.parametrize("what", LEAKS)
def test_no_answer_leaks_over(what: str, caller: Caller) -> None:
    kept(ASK, caller)
    for _level in ("l1", "l2"):
        assert isinstance(look(*LEAKS[what](ASK, caller)), Miss)
        assert isinstance(look(ASK, caller), Hit)
        cache.forget()


def test_an_ask_that_wants_no_cache_has_none(caller: Caller) -> None:
    kept(ASK, caller)
    silent = replace(ASK, cache="none")
    missed = look(silent, caller)
    assert isinstance(missed, Miss)
    cache.keep(missed, replace(ANSWER, text="five"))
    assert isinstance(look(silent, caller), Miss)
    assert look(ASK, caller) == Hit("l1", ANSWER)
    with cache.flight(missed, seconds=1.0) as earlier, cache.flight(missed, seconds=1.0) as another:
        assert earlier is None and another is None


def test_an_answer_ends_with_its_time_on_every_level(
    caller: Caller, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = kept(replace(ASK, cache_seconds=30.0), caller)
    (key,) = redis_client.scan_iter(f"baton:{caller.tenant_id}:model:answer:*")
    assert 0 < redis_client.pttl(key) <= 30_000
    assert cache._l1[missed.key][1] <= time.monotonic() + 30.0
    # When its time is over
    redis_client.delete(key)
    cache._l1[missed.key] = (cache._l1[missed.key][0], time.monotonic())
    assert isinstance(look(ASK, caller), Miss)


def test_the_process_keeps_no_more_than_it_may(caller: Caller) -> None:
    # Given more small answers than entries, then more bytes than bytes
    for number in range(cache.L1_ENTRIES + 10):
        cache._remember(f"{number}", b"x", 60.0)
    assert len(cache._l1) <= cache.L1_ENTRIES
    for number in range(40):
        cache._remember(f"large {number}", b"x" * 1_000_000, 60.0)
    assert cache._l1.currsize <= cache.L1_BYTES
    assert sum(len(value) for value, _ in cache._l1.values()) <= cache.L1_BYTES
    assert "large 39" in cache._l1
    # And what is too large for it does not push out the rest
    cache._remember("huge", b"x" * cache.L1_BYTES, 60.0)
    assert "huge" not in cache._l1 and "large 39" in cache._l1


def test_a_value_over_1_mb_stays_out_of_redis(caller: Caller, redis_client: redis.Redis) -> None:
    kept(ASK, caller, replace(ANSWER, text="x" * (model_cache.MAX_VALUE_BYTES + 1)))
    assert list(redis_client.scan_iter(f"baton:{caller.tenant_id}:*")) == []


def test_what_another_version_wrote_is_a_miss(caller: Caller) -> None:
    missed = look(ASK, caller)
    assert isinstance(missed, Miss)
    for foreign in (b"{}", b"[]", b"not json", b'{"text": "a", "tool_calls": [], "shape": 3}'):
        model_cache.put(caller.tenant_id, missed.key, foreign, 60.0)
        assert isinstance(look(ASK, caller), Miss)


def test_without_redis_the_process_still_remembers(caller: Caller, no_redis: None) -> None:
    kept(ASK, caller)
    assert look(ASK, caller) == Hit("l1", ANSWER)
    cache.forget()
    assert isinstance(look(ASK, caller), Miss)


class Threads:
    """Callers of one ask, each in a thread: they look, fly, and ask `model` where they must."""

    def __init__(self, caller: Caller, model: Callable[[int], CachedAnswer], seconds: float = 20.0) -> None:
        self.asked: list[int] = []
        self.missed = look(ASK, caller)
        self._model, self._seconds = model, seconds
        self._pool = ThreadPoolExecutor(20)

    def start(self, number: int, cancelled: Callable[[], bool] = lambda: False) -> object:
        return self._pool.submit(self._call, number, cancelled)

    def _call(self, number: int, cancelled: Callable[[], bool]) -> CachedAnswer:
        with cache.flight(self.missed, seconds=self._seconds, cancelled=cancelled) as earlier:
            if earlier is not None:
                return earlier
            self.asked.append(number)
            answer = self._model(number)
            cache.keep(self.missed, answer)
            return answer

    def waiting(self, count: int) -> None:
        """Wait until so many callers are in this process's flight."""
        until = time.monotonic() + 10
        while (known := flights._flights.get(self.missed.key)) is None or known.callers < count:
            assert time.monotonic() < until
            threading.Event().wait(0.002)


@pytest.mark.parametrize("with_redis", [True, False])
def test_of_identical_calls_one_asks(with_redis: bool, caller: Caller, request: pytest.FixtureRequest) -> None:
    # Given a model that answers when it is let, and without Redis too
    if not with_redis:
        request.getfixturevalue("no_redis")
    answers = threading.Event()

    def model(_number: int) -> CachedAnswer:
        assert answers.wait(20)
        return ANSWER

    threads = Threads(caller, model)
    calls = [threads.start(number) for number in range(20)]
    threads.waiting(20)
    # When it answers
    answers.set()
    # Then all have the answer of the one call
    assert {call.result(20) for call in calls} == {ANSWER}
    assert len(threads.asked) == 1
    assert flights._flights == {}


def test_if_the_one_who_asks_fails_the_next_one_asks(caller: Caller) -> None:
    # Given a model that fails twice before it answers, and counts who talks to it at a time
    fails = threading.Event()
    at_once: list[int] = []

    def model(_number: int) -> CachedAnswer:
        assert fails.wait(20)
        at_once.append(len(threads.asked))
        if len(threads.asked) < 3:
            raise RuntimeError("no answer")
        return ANSWER

    threads = Threads(caller, model)
    calls = [threads.start(number) for number in range(10)]
    threads.waiting(10)
    fails.set()
    wait(calls, 20)
    # Then two failed, one asked after the other, and everybody else has the third's answer
    failed = [call for call in calls if call.exception()]
    assert len(failed) == 2 and len(threads.asked) == 3
    assert at_once == [1, 2, 3]
    assert {call.result() for call in calls if call not in failed} == {ANSWER}


def test_another_process_is_waited_for(caller: Caller) -> None:
    # Given a process that asks right now
    threads = Threads(caller, lambda number: ANSWER)
    assert model_cache.lead(caller.tenant_id, threads.missed.key, "another process", 30.0) == (True, None)
    call = threads.start(0)
    threads.waiting(1)
    # When its answer comes
    elsewhere = b'{"text": "from there", "tool_calls": [], "model": "m", "backend": "b", "finish_reason": "stop"}'
    model_cache.put(caller.tenant_id, threads.missed.key, elsewhere, 60.0)
    # Then this process has it without asking
    assert call.result(10).text == "from there"
    assert threads.asked == []


def test_when_another_process_gives_up_this_one_asks(caller: Caller) -> None:
    threads = Threads(caller, lambda number: ANSWER)
    model_cache.lead(caller.tenant_id, threads.missed.key, "another process", 30.0)
    call = threads.start(0)
    threads.waiting(1)
    # When somebody else's let_go comes, nothing happens; when the holder lets go, this process asks
    model_cache.let_go(caller.tenant_id, threads.missed.key, "a stranger")
    assert model_cache.lead(caller.tenant_id, threads.missed.key, "a third", 30.0) == (False, None)
    model_cache.let_go(caller.tenant_id, threads.missed.key, "another process")
    assert call.result(10) == ANSWER
    assert threads.asked == [0]


def test_waiting_has_a_bound(caller: Caller) -> None:
    # Given a flight elsewhere that never lands, and one here
    threads = Threads(caller, lambda number: ANSWER, seconds=0.3)
    model_cache.lead(caller.tenant_id, threads.missed.key, "another process", 30.0)
    began = time.monotonic()
    calls = [threads.start(number) for number in range(3)]
    # Then everybody asks for itself, soon
    assert [call.result(10) for call in calls] == [ANSWER] * 3
    assert 0.25 < time.monotonic() - began < 5.0


def test_a_cancel_ends_the_waiting(caller: Caller) -> None:
    threads = Threads(caller, lambda number: ANSWER)
    model_cache.lead(caller.tenant_id, threads.missed.key, "another process", 30.0)
    cancel = threading.Event()
    calls = [threads.start(number, cancel.is_set) for number in range(3)]
    threads.waiting(3)
    # When the run is stopped
    began = time.monotonic()
    cancel.set()
    # Then nobody waits any more, and nobody asked
    for call in calls:
        with pytest.raises(Stopped):
            call.result(10)
    assert time.monotonic() - began < 1.0
    assert threads.asked == []


def test_the_hit_ratio_by_level_is_at_the_scrape(caller: Caller) -> None:
    def ratios() -> dict[str, float]:
        text = metrics_api.scrape().get_data(as_text=True)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        return {one.labels["cache_level"]: one.value for one in families["msig_cache_hit_ratio"].samples}

    with Flask(__name__).test_request_context():
        kept(ASK, caller)
        before = ratios()
        for _ in range(50):
            look(ASK, caller)
        after = ratios()
    assert before["l1"] < after["l1"] <= 1.0
    assert 0.0 <= after["l2"] < 1.0


def test_keys_in_redis_carry_the_tenant(caller: Caller, redis_client: redis.Redis) -> None:
    with cache.flight(kept(ASK, caller), seconds=5.0):
        pass
    missed = look(replace(ASK, seed=99), caller)
    assert isinstance(missed, Miss)
    with cache.flight(missed, seconds=5.0):
        keys = {key.decode() for key in redis_client.scan_iter(f"*{missed.key}*")}
        assert keys == {f"baton:{caller.tenant_id}:model:flight:{missed.key}"}
    assert isinstance(caller.tenant_id, UUID)
    assert not redis_client.exists(f"baton:{caller.tenant_id}:model:flight:{missed.key}")
