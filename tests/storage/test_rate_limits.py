"""Windows of requests and tokens: all or none, never one too many; in Redis, and in the process while it is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
import redis
from limits.storage import RedisStorage
from structlog.testing import capture_logs

from settings import Settings
from storage import broker, rate_limits
from storage.rate_limits import Window, add, first_time, look, take
from storage.tables import uuid7

MINUTE = Window("requests_per_minute", 5, 60)
HOUR = Window("qps", 3, 3600)
TOKENS = Window("tokens_per_minute", 100, 60, counted=True)


@pytest.fixture
def tenant() -> UUID:
    """Windows need no row of a tenant."""
    return uuid7()


@pytest.fixture(params=["redis", "local"])
def backend(request: pytest.FixtureRequest, settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The two that must behave alike."""
    given = settings_env.model_copy(update={"core_rate_limit_backend": request.param})
    monkeypatch.setattr(rate_limits, "settings", lambda: given)
    return str(request.param)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A Redis that takes connections and never answers, in the place of the real one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = redis.Redis(port=server.getsockname()[1], socket_timeout=0.05, socket_connect_timeout=0.05, retry=None)
        monkeypatch.setattr(broker, "_quick", broker._Lane((0.0,)))
        monkeypatch.setattr(rate_limits, "quick_client", lambda: client)
        rate_limits._shared.cache_clear()
        yield client
        client.close()
    rate_limits._shared.cache_clear()


@pytest.mark.usefixtures("backend")
class TestBoth:
    """What holds in Redis and in the process."""

    def test_a_refused_request_uses_nothing_up(self, tenant: UUID) -> None:
        # Given three requests, all that the hour holds
        for used in (1, 2, 3):
            taken = take(tenant, [(MINUTE, 1), (HOUR, 1)])
            assert taken.refused is None and [count.used for count in taken.counts] == [used, used]
        # When more come
        for _ in range(4):
            refused = take(tenant, [(MINUTE, 1), (HOUR, 1)])
            assert refused.refused == 1 and 3590 < refused.wait_seconds <= 3600
        # Then the minute has as much left as before
        assert [count.used for count in look(tenant, [MINUTE, HOUR])] == [3, 3]

    def test_the_window_that_holds_it_last_is_told(self, tenant: UUID) -> None:
        full = [(Window("a", 1, 60), 1), (Window("b", 1, 3600), 1), (Window("c", 1, 1800), 1)]
        assert take(tenant, full).refused is None
        refused = take(tenant, full)
        assert refused.refused == 1 and refused.wait_seconds > 3500

    def test_tokens_that_were_used_count_over_the_limit_as_well(self, tenant: UUID) -> None:
        assert take(tenant, [(TOKENS, 40)]).counts[0].used == 40
        assert add(tenant, TOKENS, 500).used == 540
        refused = take(tenant, [(MINUTE, 1), (TOKENS, 1)])
        assert refused.refused == 1 and 0 < refused.wait_seconds <= 60
        assert [count.used for count in look(tenant, [MINUTE, TOKENS])] == [0, 540]

    def test_the_last_token_may_be_used(self, tenant: UUID) -> None:
        assert take(tenant, [(TOKENS, 60)]).refused is None
        assert take(tenant, [(TOKENS, 41)]).refused == 0
        assert take(tenant, [(TOKENS, 40)]).refused is None
        assert take(tenant, [(TOKENS, 1)]).refused == 0

    def test_it_is_time_for_a_warning_once(self, tenant: UUID) -> None:
        window = MINUTE._replace(warn_at=4)
        warned = [take(tenant, [(window, 1)]).counts[0].warn for _ in range(5)]
        assert warned == [False, False, False, True, False]
        assert add(tenant, TOKENS._replace(warn_at=80), 80).warn
        assert not add(tenant, TOKENS._replace(warn_at=80), 1).warn

    def test_a_first_time_is_the_first_one(self, tenant: UUID) -> None:
        assert [first_time(tenant, "sessions", 60) for _ in range(3)] == [True, False, False]
        assert first_time(tenant, "tokens_per_day", 60) and first_time(uuid7(), "sessions", 60)

    def test_tenants_have_windows_of_their_own(self, tenant: UUID) -> None:
        take(tenant, [(MINUTE, 1)])
        assert look(uuid7(), [MINUTE])[0].used == 0

    def test_never_one_too_many(self, tenant: UUID) -> None:
        window = Window("qps", 70, 3600)
        with ThreadPoolExecutor(16) as many:
            found = list(many.map(lambda _: take(tenant, [(MINUTE._replace(limit=999), 1), (window, 1)]), range(200)))
        assert sum(one.refused is None for one in found) == 70
        assert [count.used for count in look(tenant, [MINUTE, window])] == [70, 70]

    def test_a_limit_that_was_lowered_holds_for_what_is_used_already(self, tenant: UUID) -> None:
        for _ in range(5):
            take(tenant, [(MINUTE, 1)])
        assert take(tenant, [(MINUTE._replace(limit=2), 1)]).refused == 0
        assert take(tenant, [(MINUTE._replace(limit=6), 1)]).refused is None


def test_a_moving_window_moves(settings_env: Settings, tenant: UUID, redis_client: redis.Redis) -> None:
    # Given requests of a minute ago, of half a minute ago, and of now, newest first as the library writes them
    now, key = time.time(), f"baton:{tenant}:limit:requests_per_minute"
    redis_client.rpush(key, now, now - 30, now - 61, now - 61, now - 62)
    # Then those of a minute ago are free again, and the next ones in half a minute
    (count,) = look(tenant, [MINUTE])
    assert count.used == 2 and 25 < count.resets_in_seconds < 31
    full = take(tenant, [(MINUTE._replace(limit=2), 1)])
    assert full.refused == 0 and 25 < full.wait_seconds < 31
    assert take(tenant, [(MINUTE, 1)]).counts[0].used == 3


def test_a_clock_that_went_back_a_little_lets_nobody_in(
    settings_env: Settings, tenant: UUID, redis_client: redis.Redis
) -> None:
    # Given a full window whose newest request is half a minute ahead of the clock
    now, key = time.time(), f"baton:{tenant}:limit:requests_per_minute"
    redis_client.rpush(key, now + 30, now + 20, now - 20, now - 28)
    # Then nobody gets in until the clock is there again, and what comes before it stands no earlier than it
    full = take(tenant, [(MINUTE._replace(limit=4), 1)])
    assert full.refused == 0 and 25 < full.wait_seconds <= 32
    assert take(tenant, [(MINUTE, 1)]).counts[0].used == 5
    assert abs(float(redis_client.lindex(key, 0) or 0) - (now + 30)) < 0.001


def test_a_clock_that_went_far_back_shuts_nobody_out(
    settings_env: Settings, tenant: UUID, redis_client: redis.Redis
) -> None:
    # Given windows that were filled when the clock was an hour ahead
    ahead, key = time.time() + 3600, f"baton:{tenant}:limit:"
    redis_client.rpush(f"{key}requests_per_minute", *[ahead] * 5)
    redis_client.set(f"{key}tokens_per_minute", 100, ex=3600)
    # Then the requests are forgotten, and the tokens hold no longer than their window is long
    assert take(tenant, [(MINUTE, 1)]).counts[0].used == 1
    full = take(tenant, [(TOKENS, 1)])
    assert full.refused == 0 and full.wait_seconds <= 60


def test_redis_forgets_what_is_over(settings_env: Settings, tenant: UUID, redis_client: redis.Redis) -> None:
    take(tenant, [(MINUTE, 1), (TOKENS._replace(warn_at=1), 1)])
    keys = redis_client.keys(f"baton:{tenant}:*")
    assert len(keys) == 3 and all(0 < redis_client.ttl(key) <= 60 for key in keys)


def test_the_library_reads_what_is_written(settings_env: Settings, tenant: UUID) -> None:
    for _ in range(3):
        take(tenant, [(MINUTE, 1)])
    library = RedisStorage(settings_env.redis_url, key_prefix="baton")
    since, used = library.get_moving_window(f"{tenant}:limit:requests_per_minute", 5, 60)
    assert used == 3 and abs(since - time.time()) < 30


def test_without_redis_the_process_counts_and_says_so_once(
    settings_env: Settings, tenant: UUID, silent: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logged:
        # Given a Redis that does not answer, When requests come, Then the limits hold all the same
        found = [take(tenant, [(MINUTE, 1)]).refused for _ in range(8)]
        assert found == [None] * 5 + [0] * 3
        # And when it is back it counts again, for all processes
        monkeypatch.setattr(rate_limits, "quick_client", broker.quick_client)
        rate_limits._shared.cache_clear()
        assert take(tenant, [(MINUTE, 1)]).counts[0].used == 1
    told = [line["event"] for line in logged if line["event"].startswith("rate_limits")]
    assert told == ["rate_limits_local", "rate_limits_shared"]
