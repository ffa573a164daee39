"""How the door ends a call: cancelled, out of time, refused, broken; each against a real HTTP server that does it."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway import embedded, providers
from gateway.backend import EMBEDDED_MODEL, Backend
from gateway.models import Models
from node import Final, Retry, Stopped
from tests.agents.servers import ModelServer

HELLO = [{"role": "user", "content": "Hello"}]
PROTOCOLS = ["ollama", "openai"]
CANCEL_SECONDS = 2.0
ROOT = Path(__file__).parents[2]


class Answer(BaseModel):
    """A schema with one number."""

    number: int


@pytest.fixture(autouse=True, scope="module")
def libraries() -> None:
    """Import what the first call of a process imports: the tests measure calls."""
    for protocol in ("ollama", "openai"):
        providers.chat_model(Backend("m", protocol, "http://127.0.0.1:9", "m", api_key="k"))


def door(server: ModelServer, **options: Any) -> Models:
    backend = Backend("m", server.protocol, server.url, "m", api_key="k")
    return Models(lambda: [backend], **options)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("stall", ["first", "middle"])
def test_a_cancel_closes_the_connection_of_a_stalled_stream(protocol: Any, stall: Any) -> None:
    # Given a server that has fallen silent, before its first word or after some
    with ModelServer(protocol, stall=stall) as server, ThreadPoolExecutor(1) as pool:
        cancel = threading.Event()
        call = pool.submit(lambda: list(door(server, cancelled=cancel.is_set).stream(HELLO)))
        assert server.asked.wait(10)
        # When the run is cancelled
        cancel.set()
        # Then the server sees the connection closed, and the node is free
        assert server.closed.wait(CANCEL_SECONDS)
        with pytest.raises(Stopped):
            call.result(CANCEL_SECONDS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cancel_is_seen_between_two_pieces(protocol: Any) -> None:
    cancel = threading.Event()
    with ModelServer(protocol, answer="word " * 400, drip_seconds=0.02) as server:
        pieces = door(server, cancelled=cancel.is_set).stream(HELLO)
        next(pieces)
        cancel.set()
        with pytest.raises(Stopped):
            list(pieces)
        assert server.closed.wait(CANCEL_SECONDS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_reader_that_goes_away_closes_the_connection(protocol: Any) -> None:
    with ModelServer(protocol, answer="word " * 400, drip_seconds=0.02) as server:
        pieces = door(server).stream(HELLO)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert server.closed.wait(CANCEL_SECONDS)


def test_a_cancelled_call_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    with ModelServer("openai", stall="first") as server:
        with pytest.raises(Stopped):
            list(door(server, cancelled=server.asked.is_set).stream(HELLO))
        server.closed.wait(CANCEL_SECONDS)
    assert threading.active_count() <= before


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_time_that_is_up_is_retried(protocol: Any) -> None:
    with ModelServer(protocol, stall="first") as server:
        began = time.monotonic()
        with pytest.raises(Retry):
            door(server).chat(HELLO, timeout_seconds=0.6)
        assert time.monotonic() - began < 1.5


def test_a_drip_does_not_outlast_the_steps_deadline() -> None:
    # Given a server that says a piece every tenth of a second, and a step with half a second left
    with ModelServer("openai", answer="word " * 400, drip_seconds=0.1) as server:
        began = time.monotonic()
        with pytest.raises(Retry):
            door(server, seconds_left=lambda: 0.5).chat(HELLO)
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_retried_after_its_own_time(protocol: Any, status: int) -> None:
    with ModelServer(protocol, status=status, headers={"Retry-After": "7"}) as server:
        with pytest.raises(Retry) as failed:
            door(server).chat(HELLO)
        assert len(server.requests) == 1, "the libraries' own retries are off"
    if protocol == "openai":  # Ollama's client keeps no headers
        assert failed.value.after_seconds == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "model_refused_request"),
        (401, "model_access_denied"),
        (403, "model_access_denied"),
        (404, "model_not_found"),
    ],
)
def test_a_refusal_is_final(protocol: Any, status: int, code: str) -> None:
    with ModelServer(protocol, status=status) as server, pytest.raises(Final) as failed:
        door(server).chat(HELLO)
    assert failed.value.code == code


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broken_stream_is_retried(protocol: Any) -> None:
    with ModelServer(protocol, cut=True) as server, pytest.raises(Retry):
        door(server).chat(HELLO)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_is_away_is_retried_at_once(protocol: Any) -> None:
    with ModelServer(protocol) as server:
        models = door(server)
    began = time.monotonic()
    with pytest.raises(Retry):
        models.chat(HELLO)
    assert time.monotonic() - began < CANCEL_SECONDS


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_wrong_structure_is_repaired(protocol: Any) -> None:
    # Given a model that is wrong twice, and then right
    with ModelServer(protocol, answer=["no json", '{"number": "x"}', '```json\n{"number": 4}\n```']) as server:
        assert door(server).structured(Answer, HELLO).number == 4
        # Then it was told its mistake
        assert "number" in server.requests[2]["messages"][-1]["content"]


def test_a_structure_that_stays_wrong_is_a_failure() -> None:
    with ModelServer("openai", answer="no json") as server:
        with pytest.raises(Retry, match="no valid Answer"):
            door(server).structured(Answer, HELLO)
        assert len(server.requests) == 3


def test_a_call_waits_for_the_embedded_model_that_is_just_starting(tmp_path: Path) -> None:
    # Given an embedded model whose process is started a moment after the call
    plan = embedded.prepare(tmp_path)
    backend = Backend("embedded", "embedded", plan.url, EMBEDDED_MODEL, api_key=plan.key, weak=True)
    children = []

    def start() -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        children.append(subprocess.Popen(plan.argv, env=environment, cwd=plan.folder))

    late = threading.Timer(0.5, start)
    late.start()
    # Then the call is answered all the same
    try:
        assert Models(lambda: [backend]).chat(HELLO, max_tokens=5)
    finally:
        late.join()
        children[0].terminate()
        children[0].wait(10)


@pytest.mark.parametrize(("protocol", "field"), [("ollama", "format"), ("openai", "response_format")])
def test_the_schema_is_told_to_the_server(protocol: Any, field: str) -> None:
    with ModelServer(protocol, answer='{"number": 1}') as server:
        door(server).structured(Answer, HELLO)
        assert "number" in str(server.requests[0][field])
