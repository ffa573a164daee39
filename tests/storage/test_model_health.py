"""The breaker of a backend as all processes share it, on a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from gateway import breaker
from settings import Settings
from storage import broker, model_health
from storage.tables import uuid7


@pytest.fixture
def name(settings_env: Settings) -> Iterator[str]:
    """A backend that nobody knows yet."""
    broker.quick_client.cache_clear()
    breaker.forget()
    yield f"backend-{uuid7()}"
    breaker.forget()


def gate(name: str) -> breaker.Gate:
    """What another process would be told: it remembers nothing itself."""
    breaker.forget()
    return breaker.gate(name, breaker.healths([name])[name], probe_seconds=30)


def fail(name: str, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(name, probe=False)


def over(client: redis.Redis, name: str, what: str) -> None:
    """Let the time of a key pass."""
    assert client.delete(f"baton:model:{name}:{what}")


def test_two_failures_leave_it_closed_and_a_success_forgets_them(name: str) -> None:
    fail(name, 2)
    breaker.succeeded(name, 10.0, probe=False)
    fail(name, 2)
    assert gate(name) == "go"


def test_three_failures_in_a_row_open_it_for_every_process(name: str) -> None:
    # Given three failures, each in another process
    for _ in range(3):
        breaker.forget()
        fail(name)
    # Then nobody is let through, for about five seconds
    assert gate(name) == "no"
    assert 3.9 < model_health.look([name])[name].open_for_seconds < 6.1  # type: ignore[index]


def test_half_open_lets_one_caller_probe(name: str, redis_client: redis.Redis) -> None:
    fail(name, 3)
    over(redis_client, name, "open")
    # When 20 callers come at once
    health = breaker.healths([name])[name]
    with ThreadPoolExecutor(20) as pool:
        gates = list(pool.map(lambda _: breaker.gate(name, health, probe_seconds=30), range(20)))
    # Then one probes
    assert sorted(gates) == ["no"] * 19 + ["probe"]


def test_a_probe_that_fails_opens_it_for_twice_as_long(name: str, redis_client: redis.Redis) -> None:
    fail(name, 3)
    over(redis_client, name, "open")
    assert gate(name) == "probe"
    breaker.failed(name, probe=True)
    assert gate(name) == "no"
    assert 7.9 < model_health.look([name])[name].open_for_seconds < 12.1  # type: ignore[index]


def test_it_is_never_left_alone_for_longer_than_a_minute_and_a_bit(name: str, redis_client: redis.Redis) -> None:
    for _ in range(12):
        breaker.failed(name, probe=True)
    assert model_health.look([name])[name].open_for_seconds < 72.1  # type: ignore[index]


def test_after_a_good_probe_requests_come_back_a_few_at_a_time(name: str, redis_client: redis.Redis) -> None:
    fail(name, 3)
    over(redis_client, name, "open")
    assert gate(name) == "probe"
    breaker.succeeded(name, 10.0, probe=True)
    # Then at first most callers are asked to look elsewhere, none is refused
    health = breaker.healths([name])[name]
    gates = [breaker.gate(name, health, probe_seconds=30) for _ in range(300)]
    assert 180 < gates.count("rather not") < 300
    assert set(gates) == {"go", "rather not"}
    # and when the ramp is over, all come
    over(redis_client, name, "ramp")
    assert gate(name) == "go"


def test_a_probe_that_was_cancelled_leaves_the_question_to_the_next(name: str, redis_client: redis.Redis) -> None:
    fail(name, 3)
    over(redis_client, name, "open")
    assert gate(name) == "probe"
    breaker.undecided(name)
    assert gate(name) == "probe"


def test_a_server_that_asks_for_a_pause_gets_it_and_needs_no_probe(name: str, redis_client: redis.Redis) -> None:
    breaker.busy(name, 7.0)
    assert gate(name) == "no"
    over(redis_client, name, "open")
    assert gate(name) == "go"


def test_the_median_is_that_of_the_last_times(name: str) -> None:
    for milliseconds in (10.0, 20.0, 90.0):
        model_health.succeeded(name, milliseconds, recovered=False)
    assert model_health.look([name])[name].median_ms == 20.0  # type: ignore[index]
    for _ in range(70):
        model_health.succeeded(name, 400.0, recovered=False)
    assert model_health.look([name])[name].median_ms == 400.0  # type: ignore[index]


@pytest.fixture
def without_redis(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take Redis away from this process."""

    def take() -> None:
        monkeypatch.setattr(broker, "quickly", lambda call, what: None)

    return take


def test_without_redis_a_process_goes_by_what_it_saw_itself(name: str, without_redis: Callable[[], None]) -> None:
    without_redis()
    fail(name, 3)
    assert breaker.gate(name, breaker.healths([name])[name], probe_seconds=30) == "no"
    # When its time is over, one of its threads probes
    breaker._of(name).open_until = 0.0
    breaker._looked.clear()
    health = breaker.healths([name])[name]
    assert [breaker.gate(name, health, probe_seconds=30) for _ in range(3)] == ["probe", "no", "no"]
    breaker.succeeded(name, 5.0, probe=True)
    assert breaker.gate(name, breaker.healths([name])[name], probe_seconds=30) == "go"
