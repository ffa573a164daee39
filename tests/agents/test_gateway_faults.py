"""The gateway on a primary that goes wrong in every way, and on one that dies under load: bench/gateway, in small."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.gateway import death, faults
from gateway import breaker
from settings import Settings
from storage import broker
from tests.agents.fault_proxy import FAULTS
from tests.conftest import Servers

FIRST_TOKEN_SECONDS = 1.5  # healthy answers come in time on a busy machine too


@pytest.fixture(autouse=True)
def nothing_remembered(settings_env: Settings) -> Iterator[None]:
    """What earlier tests taught this process about backends and Redis is gone, and so is what this one does."""
    broker.quick_client.cache_clear()
    breaker.forget()
    yield
    breaker.forget()


@pytest.mark.parametrize("forgiving", [False, True], ids=["with the breaker", "every fault met"])
def test_faults_cost_time_and_never_an_answer(forgiving: bool, servers: Servers) -> None:
    # Given a primary of whose requests a third go wrong, and a healthy second
    # When eight threads ask different questions
    came = faults.run(
        servers.owner_url,
        calls=160,
        threads=8,
        share=0.3,
        seed=14,
        first_token_seconds=FIRST_TOKEN_SECONDS,
        forgiving=forgiving,
    )
    # Then all are answered, each with its own answer and nothing else shown
    assert came.errors == {}
    assert (came.answered, came.wrong) == (160, 0)
    # And in time
    assert came.added_p95_ms <= 2 * FIRST_TOKEN_SECONDS * 1000
    # And budget, call log and the providers' bills agree to the token, with nothing left reserved
    assert came.ledger.exact, came.ledger
    if forgiving:
        assert len(came.faults) > len(FAULTS) / 2


def test_a_primary_that_refuses_connections_is_left_within_two_seconds(servers: Servers) -> None:
    # Given callers that all wait for the primary, When it is killed
    came = death.run("refuses", callers=8, seconds=1.5, first_token_seconds=10.0)
    # Then those in flight and all that follow get their whole answer from the second one, within two seconds
    assert came.bad == []
    assert came.following
    assert max(came.longest_following_seconds, came.longest_in_flight_seconds) <= 2.0


def test_a_primary_that_hangs_is_left_after_one_silence(servers: Servers) -> None:
    # Given callers that all wait for the primary, When it is frozen: connections stay, and nothing comes
    came = death.run("hangs", callers=8, seconds=3.0, first_token_seconds=1.0)
    # Then nobody waits for it twice (60 s at the default of 10 s for the first token)
    assert came.bad == []
    assert came.following
    assert max(came.longest_following_seconds, came.longest_in_flight_seconds) <= 6.0
