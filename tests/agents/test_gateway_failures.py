"""How one call of a model ends: cancelled, out of time, while the model starts; and what a failure means for a node."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.backend import EMBEDDED_MODEL, Backend
from gateway.backends import embedded
from gateway.request import Ask
from gateway.wire import talk
from gateway.wire.failures import Failed, as_node_error, failed
from gateway.wire.watch import TooLarge, Watch, WatchedStream, watched
from node import Final, Retry, Stopped
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import echo
from tests.agents.test_gateway_conformance import (
    HELLO,
    KINDS,
    PROMPT,
    SILENCE_SECONDS,
    SLACK_SECONDS,
    backend_at,
    libraries,
    said_by,
)

CANCEL_SECONDS = 2.0
ROOT = Path(__file__).parents[2]

__all__ = ["libraries"]  # a fixture: the tests measure calls, not imports


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["hang_before_headers", "hang_after_headers", "hang_in_middle"])
def test_a_cancel_closes_the_connection_of_a_silent_stream(kind: str, fault: str) -> None:
    # Given a server that has fallen silent, and a client with patience
    with FaultProxy(fault=fault) as server, ThreadPoolExecutor(1) as pool:
        cancel = threading.Event()
        backend = backend_at(kind, server.url, first_token_seconds=20.0, timeout_seconds=30.0)
        call = pool.submit(lambda: list(said_by(backend, cancelled=cancel.is_set)))
        assert server.asked.wait(10)
        # When the run is cancelled
        cancel.set()
        # Then the server sees the connection closed, and the node is free
        assert server.closed.wait(CANCEL_SECONDS)
        with pytest.raises(Stopped):
            call.result(CANCEL_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_is_seen_between_two_pieces(kind: str) -> None:
    cancel = threading.Event()
    with FaultProxy(answer="word " * 400, drip_seconds=0.02) as server:
        pieces = said_by(backend_at(kind, server.url), cancelled=cancel.is_set)
        next(pieces)
        cancel.set()
        with pytest.raises(Stopped):
            list(pieces)
        assert server.closed.wait(CANCEL_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_goes_away_closes_the_connection(kind: str) -> None:
    with FaultProxy(answer="word " * 400, drip_seconds=0.02) as server:
        pieces = said_by(backend_at(kind, server.url))
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        assert server.closed.wait(CANCEL_SECONDS)


def test_a_cancelled_call_leaves_no_thread_behind() -> None:
    with FaultProxy(fault="hang_before_headers") as server:
        before = set(threading.enumerate())
        with pytest.raises(Stopped):
            list(said_by(backend_at("openai", server.url), cancelled=server.asked.is_set))
        assert server.closed.wait(CANCEL_SECONDS)
        left = [one for one in set(threading.enumerate()) - before if "process_request" not in one.name]
    assert left == []


def test_a_slow_reader_costs_the_model_nothing() -> None:
    # Given a reader who needs longer for a piece than the model may be silent
    with FaultProxy() as server:
        pieces = said_by(backend_at("openai", server.url))
        text = next(pieces).text
        read_on = threading.Event()
        threading.Timer(SILENCE_SECONDS * 1.5, read_on.set).start()
        read_on.wait()
        # Then the answer is whole all the same
        rest = list(pieces)
    assert rest[-1].finish_reason == "stop"
    assert text + "".join(piece.text for piece in rest) == echo(PROMPT)


def test_a_model_that_must_begin_in_time_is_given_up() -> None:
    with FaultProxy(fault="hang_after_headers") as server:
        backend = backend_at("openai", server.url, first_token_seconds=20.0)
        began = time.monotonic()
        with pytest.raises(Failed) as late:
            list(talk.stream(backend, HELLO, cancelled=lambda: False, seconds_left=lambda: 60, begin_seconds=0.3))
        assert late.value.kind == "timeout"
        assert time.monotonic() - began < 0.3 + SLACK_SECONDS


def test_no_time_left_asks_nobody() -> None:
    with FaultProxy() as server:
        with pytest.raises(Failed) as late:
            list(said_by(backend_at("openai", server.url), seconds=0.0))
        assert late.value.kind == "timeout"
        assert server.requests == []


@pytest.mark.parametrize("fault", ["cut_after_end", "hang_after_end"])
def test_numbers_that_are_lost_after_the_end_cost_no_answer_and_no_time(fault: str) -> None:
    # Given a server that says its whole answer with a reason, and then hangs up or falls silent without the numbers
    with FaultProxy(fault=fault) as server:
        began = time.monotonic()
        pieces = list(said_by(backend_at("openai", server.url, first_token_seconds=20.0, timeout_seconds=30.0)))
        assert time.monotonic() - began < talk.AFTER_END_SECONDS + SLACK_SECONDS
    assert "".join(piece.text for piece in pieces) == echo(PROMPT)
    assert (pieces[-1].finish_reason, pieces[-1].tokens_out) == ("stop", None)


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
        assert "".join(piece.text for piece in said_by(backend, Ask(messages=HELLO.messages, max_tokens=5)))
    finally:
        late.join()
        children[0].terminate()
        children[0].wait(10)


class Drip:
    """A network stream that gives a kilobyte at every read."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return b"x" * 1024


def test_the_bytes_of_one_call_are_counted() -> None:
    stream = WatchedStream(Drip())
    with watched(Watch(lambda: False, time.monotonic() + 60, max_bytes=3000)):
        assert len(stream.read(65536)) + len(stream.read(65536)) == 2048
        with pytest.raises(TooLarge):
            stream.read(65536)
    assert len(stream.read(65536)) == 1024, "outside of a call nobody counts"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("refused_request", "model_refused_request"),
        ("access_denied", "model_access_denied"),
        ("not_found", "model_not_found"),
        ("refusal", "model_refused"),
        ("too_large", "model_answer_too_large"),
        ("misconfigured", "model_misconfigured"),
    ],
)
def test_what_stays_wrong_is_final_for_a_node(kind: Any, code: str) -> None:
    error = as_node_error(Failed("writer", kind, "no"))
    assert isinstance(error, Final)
    assert error.code == code


@pytest.mark.parametrize("kind", ["refused_connection", "timeout", "rate_limited", "server_error", "garbled", "empty"])
def test_what_may_pass_is_retried_by_a_node_after_the_servers_pause(kind: Any) -> None:
    error = as_node_error(Failed("writer", kind, "no", retry_after_seconds=7))
    assert isinstance(error, Retry)
    assert error.after_seconds == 7


class Told(Exception):
    """An error with a status and a body, as the providers' libraries raise it."""

    def __init__(self, text: str, status: int | None = None, body: object = None) -> None:
        super().__init__(text)
        self.status_code, self.body = status, body


def test_a_quota_that_is_used_up_is_not_tried_again() -> None:
    backend = backend_at("openai", "http://127.0.0.1:9")
    used_up = failed(Told("no", 429, {"error": {"code": "insufficient_quota"}}), backend)
    assert (used_up.kind, used_up.passing, used_up.elsewhere) == ("rate_limited", False, True)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"code": "content_filter"}, "refusal"),
        (200, {"error": {"type": "overloaded_error"}}, "server_error"),
        (200, {"error": {"type": "rate_limit_error"}}, "rate_limited"),
        (307, None, "misconfigured"),
        (413, None, "refused_request"),
    ],
)
def test_a_status_and_the_bodys_own_word_say_what_happened(status: int, body: object, kind: str) -> None:
    assert failed(Told("no", status, body), backend_at("openai", "http://127.0.0.1:9")).kind == kind


@pytest.mark.parametrize(
    "said",
    [
        "bad key sk-abcdefgh12345",
        "Authorization: Bearer abcd.efgh",
        "the key sk-secret-of-the-tests is wrong",
        "api_key=abcdefgh was refused",
        "AIzaSyabcdefgh1234567890123 was refused",
        "input: Please call 13812345678 and",
        "x" * 1000,
    ],
)
def test_a_message_is_short_and_holds_no_secret(said: str) -> None:
    backend = backend_at("openai", "http://127.0.0.1:9")
    failure = failed(Told(f"{said}\nsecond line", 400), backend, prompt=["Please call 13812345678 and say hello"])
    for secret in ("abcdefgh", "abcd.efgh", "sk-", "13812345678", "second line"):
        assert secret not in str(failure)
    assert len(str(failure)) < 250
