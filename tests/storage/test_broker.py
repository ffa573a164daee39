"""Viewers and Celery clients are told on a connection that Redis never answers: nobody waits, nobody is missed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import redis
from celery import Celery

from settings import Settings
from storage import broker
from storage.tables import uuid7

TENANT = UUID(int=5)
PATIENCE_SECONDS = 10.0


@pytest.fixture
def run_id() -> UUID:
    return uuid7()


@pytest.fixture
def heard(settings_env: Settings, run_id: UUID) -> Iterator[redis.client.PubSub]:
    """What a viewer of the run and a client that waits for its result hear."""
    with redis.Redis.from_url(settings_env.redis_url).pubsub(ignore_subscribe_messages=True) as channels:
        channels.subscribe(broker.channel(TENANT, run_id), broker.result_key(run_id))
        for _ in range(2):  # both are subscribed when their confirmations are read
            channels.get_message(timeout=PATIENCE_SECONDS)
        yield channels


def next_heard(channels: redis.client.PubSub) -> Any:
    """The next message, read as JSON."""
    message = channels.get_message(timeout=PATIENCE_SECONDS)
    assert message is not None, "nothing was heard"
    return json.loads(message["data"])


def test_a_runs_end_is_told_after_its_last_events(
    run_id: UUID, heard: redis.client.PubSub, settings_env: Settings
) -> None:
    # When the last events and the end are told together
    broker.tell(broker.hint(TENANT, run_id, {"events": [1]}), *broker.end(run_id, "completed", {"script": "你好"}))
    # Then they come in this order, and Celery's own client finds the result
    assert next_heard(heard) == {"events": [1]}
    assert next_heard(heard)["status"] == "SUCCESS"
    client = Celery(broker=settings_env.redis_url, backend=settings_env.redis_url)
    assert client.AsyncResult(str(run_id)).get(timeout=PATIENCE_SECONDS) == {"script": "你好"}


def test_the_first_hint_after_redis_closed_the_connection_arrives(run_id: UUID, heard: redis.client.PubSub) -> None:
    # Given a connection that was used and that Redis then closed
    broker.tell(broker.hint(TENANT, run_id, {"events": [1]}))
    assert next_heard(heard) == {"events": [1]}
    broker.client().client_kill_filter(_type="normal", skipme=True)
    # When something is told, Then it is heard
    broker.tell(broker.hint(TENANT, run_id, {"events": [2]}))
    assert next_heard(heard) == {"events": [2]}


def test_connections_that_ended_are_not_counted(run_id: UUID, heard: redis.client.PubSub) -> None:
    # Given more of them than a process may have at once
    for number in range(101):
        broker.tell(broker.hint(TENANT, run_id, {"events": [number]}))
        assert next_heard(heard) == {"events": [number]}
        broker.client().client_kill_filter(_type="normal", skipme=True)
    # Then the next one is made, and those who ask Redis something have theirs
    broker.tell(broker.hint(TENANT, run_id, {"events": ["the last"]}))
    assert next_heard(heard) == {"events": ["the last"]}
    assert broker.client().ping()


def test_nobody_waits_until_redis_has_done_it(run_id: UUID, heard: redis.client.PubSub) -> None:
    # Given a Redis that takes commands and does none
    broker.client().client_pause(int(PATIENCE_SECONDS * 1000), all=False)
    # When something is told, Then the teller goes on although nobody has heard it
    broker.tell(broker.hint(TENANT, run_id, {"events": [1]}))
    assert heard.get_message(timeout=0) is None
    # And it is heard when Redis goes on
    broker.client().client_unpause()
    assert next_heard(heard) == {"events": [1]}
