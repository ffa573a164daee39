"""A run that asks a model, end to end: a worker process, its models file, a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
import redis

from chains.budget import go_on
from chains.cancel import cancel
from storage import broker, model_policies
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import echo
from tests.engine.conftest import Runs
from tests.engine.workers import Workers

QUESTION = "What do we say to the viewers?"


@pytest.fixture
def server(workers: Workers, tmp_path: Path) -> Iterator[FaultProxy]:
    """The model's server, known to the one worker that runs."""
    workers.stop_all()
    with FaultProxy() as proxy:
        models = tmp_path / "models.yaml"
        backend = {"name": "host", "type": "vllm", "endpoint": proxy.url, "model": "m", "languages": ["en"]}
        models.write_text(json.dumps({"backends": [{**backend, "first_token_seconds": 20}]}))
        workers.start(BATON_MODELS=str(models))
        yield proxy
    workers.stop_all()


@contextmanager
def told(client: redis.Redis, tenant: UUID, run: UUID) -> Iterator[list[str]]:
    """The pieces that live viewers of a run are told, as they come."""
    pieces: list[str] = []
    with closing(client.pubsub()) as channel:
        channel.subscribe(broker.channel(tenant, run))
        ended = threading.Event()

        def listen() -> None:
            while not ended.is_set():
                message = channel.get_message(ignore_subscribe_messages=True, timeout=0.1)
                token = json.loads(message["data"]).get("token") if message else None
                pieces.extend([token["text"]] if token else [])

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield pieces
        finally:
            ended.set()
            thread.join()


def test_viewers_see_the_answer_grow(server: FaultProxy, runs: Runs, redis_client: redis.Redis) -> None:
    # Given a model that speaks slowly, When somebody watches its run
    server.drip_seconds = 0.2
    run = runs.submit({"question": QUESTION}, "say")
    with told(redis_client, runs.tenant, run) as pieces:
        # Then the first pieces are there while it still speaks
        runs.until(lambda: bool(pieces), 15)
        assert runs.status(run) == "running"
        runs.wait(run)
    assert runs.column(run, "output") == {"text": echo(QUESTION), "model": "m"}
    assert echo(QUESTION).endswith("".join(pieces))


def test_a_cancelled_run_hangs_up_on_the_model(server: FaultProxy, runs: Runs) -> None:
    server.fault = "hang_in_middle"
    run = runs.submit({"question": QUESTION}, "say")
    assert server.asked.wait(15)
    cancel(runs.tenant, run)
    assert server.closed.wait(5)
    runs.wait(run, "cancelled")


def test_a_run_whose_budget_is_used_up_waits_for_a_raise(server: FaultProxy, runs: Runs) -> None:
    # Given a budget that holds no call
    model_policies.set_policy(runs.tenant, tokens_per_day=10)
    run = runs.submit({"question": QUESTION}, "say")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["kind"] == "budget"
    assert server.requests == []
    # When it is raised, Then the run goes on
    model_policies.set_policy(runs.tenant, tokens_per_day=100_000)
    assert go_on(runs.tenant) == 1
    runs.wait(run)
    assert runs.column(run, "output")["text"] == echo(QUESTION)
