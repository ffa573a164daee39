"""What a real server adds to the application: bodies over the wire, broken requests, logs, and an end."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from tests.app.rows import MakeRun
from tests.app.server import web_process

RUN = {"chain": "probe", "input": {}}


def test_a_request_that_is_no_http_gets_a_problem(address: str) -> None:
    with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")
        told = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b"application/problem+json" in told and b"<html" not in told


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_the_answer_arrives(address: str, api_key: str, chunked: bool) -> None:
    data: Any = json.dumps(RUN | {"user_id": "x" * 20_000_000}).encode()
    answer = requests.post(
        f"{address}/api/v1/runs",
        data=iter([data]) if chunked else data,
        headers={"X-API-Key": api_key, "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_refused_body_does_not_become_the_next_request(address: str, api_key: str) -> None:
    with requests.Session() as session:
        session.headers["X-API-Key"] = api_key
        for _ in range(3):
            assert session.post(f"{address}/api/v1/runs", data=b"x" * 500_000).status_code == 415
            assert session.post(f"{address}/api/v1/nowhere", data=b"x" * 500_000).status_code == 404
            assert session.post(f"{address}/api/v1/runs", json=RUN).status_code == 202


def test_a_chunked_body_is_read(address: str, api_key: str) -> None:
    answer = requests.post(
        f"{address}/api/v1/runs",
        data=iter([b'{"chain": "probe", ', b'"input": {}}']),
        headers={"X-API-Key": api_key, "Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 202


def test_of_concurrent_duplicates_one_is_accepted(address: str, api_key: str) -> None:
    def start(_: int) -> requests.Response:
        headers = {"X-API-Key": api_key, "Idempotency-Key": "the same"}
        return requests.post(f"{address}/api/v1/runs", json=RUN, headers=headers, timeout=30)

    with ThreadPoolExecutor(16) as many:
        answers = list(many.map(start, range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["run_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1


def test_of_concurrent_runs_of_a_session_one_is_accepted(address: str, api_key: str) -> None:
    def start(_: int) -> int:
        body = RUN | {"session_id": "busy"}
        return requests.post(
            f"{address}/api/v1/runs", json=body, headers={"X-API-Key": api_key}, timeout=30
        ).status_code

    with ThreadPoolExecutor(16) as many:
        assert sorted(many.map(start, range(16))) == [202] + [409] * 15


def test_one_slow_client_holds_up_nobody(address: str, api_key: str) -> None:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nX-API-Key: ")
        began = time.monotonic()
        assert requests.get(f"{address}/api/v1/health/live", timeout=5).status_code == 200
        assert time.monotonic() - began < 2


def test_a_stop_ends_streams_at_once_and_logs_are_json(
    settings_env: Any, tmp_path: Path, api_key: str, make_run: MakeRun
) -> None:
    # Given a viewer of a run that does not end
    run_id = make_run("running", steps={"1": {}})
    log = tmp_path / "log"
    ended = threading.Event()

    def watch(address: str) -> None:
        headers = {"X-API-Key": api_key, "Accept": "text/event-stream"}
        with requests.get(f"{address}/api/v1/runs/{run_id}/events", headers=headers, stream=True, timeout=60) as answer:
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"id:"):
                    seen.set()
        ended.set()

    seen = threading.Event()
    with web_process(log) as address:
        viewer = threading.Thread(target=watch, args=(address,))
        viewer.start()
        assert seen.wait(10)
        other = websocket.create_connection(
            f"{address.replace('http', 'ws')}/api/v1/runs/{run_id}/ws?after=1", header=[f"X-API-Key: {api_key}"]
        )
        began = time.monotonic()
    # When the process is told to stop, then the streams end and the process with them
    assert ended.wait(5)
    opcode, frame = other.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and int.from_bytes(frame[:2], "big") == 1000
    viewer.join()
    assert time.monotonic() - began < 8
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    request = next(line for line in lines if line["event"] == "request")
    assert {"trace_id", "request_id", "status", "path", "process"} <= request.keys()
