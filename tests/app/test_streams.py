"""Live streams from a real gunicorn process: replay, then follow, without a gap and to the end."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests
import websocket
from sqlalchemy import delete

from app.websocket import _Timely
from storage import broker, postgres
from storage.tables import Run
from tests.app.rows import MakeRun, add_events

ENDING = ["step_succeeded", "run_completed"]


class Sse:
    """A reader of a stream; each message is a dict of its lines."""

    def __init__(self, address: str, key: str, run_id: UUID, after: int | None = None, **headers: str) -> None:
        named = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        query = "" if after is None else f"?after={after}"
        self.answer = requests.get(
            f"{address}/api/v1/runs/{run_id}/events{query}", headers=named, stream=True, timeout=20
        )

    def __iter__(self) -> Iterator[dict[str, str]]:
        message: dict[str, str] = {}
        for line in self.answer.iter_lines(chunk_size=1):
            name, _, value = line.decode().partition(": ")
            if line and name:
                message[name] = value
            elif not line and message:
                yield message
                message = {}


def socket_for(address: str, key: str, run_id: UUID, after: int = 0) -> websocket.WebSocket:
    return websocket.create_connection(
        f"{address.replace('http', 'ws')}/api/v1/runs/{run_id}/ws?after={after}",
        header=[f"X-API-Key: {key}"],
        timeout=15,
    )


def tell(tenant: UUID, run_id: UUID, events: list[dict[str, Any]]) -> None:
    broker.tell(broker.hint(tenant, run_id, {"events": events}))


def test_a_finished_run_is_replayed_and_the_stream_ends(
    address: str, api_key: str, tenant: UUID, make_run: MakeRun
) -> None:
    run_id = make_run("running", steps={str(n): {} for n in range(1, 451)})
    add_events(run_id, tenant, ["run_completed"], "completed")
    messages = list(Sse(address, api_key, run_id))
    assert [int(one["id"]) for one in messages] == list(range(1, 452))
    assert messages[-1]["event"] == "run_completed"
    assert json.loads(messages[-1]["data"])["run_id"] == str(run_id)
    assert [int(one["id"]) for one in Sse(address, api_key, run_id, after=449)] == [450, 451]
    assert [int(one["id"]) for one in Sse(address, api_key, run_id, after=1, Last_Event_ID="450")] == [451]
    assert list(Sse(address, api_key, run_id, after=451)) == []


@pytest.mark.parametrize("hint", ["all", "last", "none"])
def test_what_happens_is_followed_with_or_without_hints(
    address: str, api_key: str, tenant: UUID, make_run: MakeRun, hint: str
) -> None:
    run_id = make_run("running", steps={"1": {}})
    stream = iter(Sse(address, api_key, run_id))
    assert next(stream)["id"] == "1"
    events = add_events(run_id, tenant, ["step_succeeded", *ENDING], "completed")
    if hint != "none":
        tell(tenant, run_id, events if hint == "all" else events[-1:])
    assert [int(one["id"]) for one in stream] == [2, 3, 4]


def test_a_hint_for_what_is_not_written_yet_is_told_once(
    address: str, api_key: str, tenant: UUID, make_run: MakeRun
) -> None:
    run_id = make_run("running", steps={"1": {}})
    stream = iter(Sse(address, api_key, run_id))
    assert next(stream)["id"] == "1"
    events = add_events(run_id, tenant, ["step_succeeded"])
    for _ in range(3):
        tell(tenant, run_id, events)
    tell(tenant, run_id, add_events(run_id, tenant, ENDING, "completed"))
    assert [int(one["id"]) for one in stream] == [2, 3, 4]


def test_who_asks_beyond_the_end_is_not_kept_for_ever(
    address: str, api_key: str, tenant: UUID, make_run: MakeRun
) -> None:
    run_id = make_run("running", steps={"1": {}})
    stream = Sse(address, api_key, run_id, after=1000)
    tell(tenant, run_id, add_events(run_id, tenant, ENDING, "completed"))
    assert list(stream) == []
    assert list(Sse(address, api_key, run_id, after=1000)) == []


def test_tokens_are_seen_without_a_seq(address: str, api_key: str, tenant: UUID, make_run: MakeRun) -> None:
    run_id = make_run("running", steps={"1": {}})
    stream = iter(Sse(address, api_key, run_id))
    assert next(stream)["id"] == "1"
    found: list[dict[str, str]] = []
    reader = threading.Thread(target=lambda: found.extend(stream))
    reader.start()
    while not found:  # the subscription may be a moment younger than the first event
        broker.tell(broker.hint(tenant, run_id, {"token": {"step": "write", "text": "你好"}}))
        reader.join(0.05)
    tell(tenant, run_id, add_events(run_id, tenant, ["run_completed"], "completed"))
    reader.join(10)
    assert found[0]["event"] == "token" and "id" not in found[0]
    assert json.loads(found[0]["data"])["data"] == {"text": "你好"}
    assert found[-1]["event"] == "run_completed"


def test_a_failed_run_that_is_resumed_goes_on(address: str, api_key: str, tenant: UUID, make_run: MakeRun) -> None:
    # Given a run that failed and was resumed before anybody looked
    run_id = make_run("running", events=0)
    add_events(run_id, tenant, ["run_failed", "run_resumed"], "running")
    stream = iter(Sse(address, api_key, run_id))
    assert [next(stream)["event"] for _ in range(2)] == ["run_failed", "run_resumed"]
    # When it fails again, for good
    tell(tenant, run_id, add_events(run_id, tenant, ["run_failed"], "failed"))
    # Then the stream ends there
    assert [one["event"] for one in stream] == ["run_failed"]


def test_a_websocket_tells_the_same_and_closes_normally(
    address: str, api_key: str, tenant: UUID, make_run: MakeRun
) -> None:
    run_id = make_run("running", steps={"1": {}, "2": {}})
    viewer = socket_for(address, api_key, run_id, after=1)
    assert json.loads(viewer.recv())["seq"] == 2
    tell(tenant, run_id, add_events(run_id, tenant, ENDING, "completed"))
    assert [json.loads(viewer.recv())["type"] for _ in range(2)] == ENDING
    opcode, frame = viewer.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and int.from_bytes(frame[:2], "big") == 1000


def test_a_large_event_comes_whole(address: str, api_key: str, tenant: UUID, make_run: MakeRun) -> None:
    run_id = make_run("running", events=0)
    add_events(run_id, tenant, ["run_completed"], "completed", text="x" * 3_000_000)
    assert len(json.loads(socket_for(address, api_key, run_id).recv())["data"]["text"]) == 3_000_000


def test_a_stranger_gets_a_problem_instead_of_a_socket(address: str, api_key: str, make_run: MakeRun) -> None:
    for key, run_id, status in (("nobody", make_run(), 401), (api_key, uuid4(), 404)):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            socket_for(address, key, run_id)
        assert refused.value.status_code == status
        assert refused.value.resp_headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("missing", ["Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_a_broken_handshake_is_a_problem(address: str, api_key: str, make_run: MakeRun, missing: str) -> None:
    headers = {"X-API-Key": api_key, "Upgrade": "websocket", "Connection": "Upgrade"}
    headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    del headers[missing]
    answer = requests.get(f"{address}/api/v1/runs/{make_run()}/ws", headers=headers, timeout=10)
    assert answer.status_code == 422 and answer.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [missing]


def test_no_compression_is_agreed_on(address: str, api_key: str, make_run: MakeRun) -> None:
    viewer = websocket.create_connection(
        f"{address.replace('http', 'ws')}/api/v1/runs/{make_run()}/ws",
        header=[f"X-API-Key: {api_key}", "Sec-WebSocket-Extensions: permessage-deflate"],
        timeout=15,
    )
    assert "sec-websocket-extensions" not in (viewer.getheaders() or {})


def test_a_client_that_says_too_much_is_sent_away(
    address: str, api_key: str, make_run: MakeRun, until: Callable[[Callable[[], bool]], None]
) -> None:
    before = open_viewers(address)
    loud = socket_for(address, api_key, make_run("running"))
    loud.send("x" * 5000)
    opcode, frame = loud.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and int.from_bytes(frame[:2], "big") == 1009
    talkative = socket_for(address, api_key, make_run("running"))
    with pytest.raises((OSError, websocket.WebSocketException)):
        for _ in range(10_000):
            talkative.send("x" * 1000)
    until(lambda: open_viewers(address) == before)


def test_a_run_that_is_gone_ends_its_viewers(address: str, api_key: str, tenant: UUID, make_run: MakeRun) -> None:
    run_id = make_run("running", steps={"1": {}})
    viewer = socket_for(address, api_key, run_id)
    assert json.loads(viewer.recv())["seq"] == 1
    with postgres.keeper_session() as db:
        db.execute(delete(Run).where(Run.id == run_id))
    tell(tenant, run_id, [{"run_id": str(run_id), "seq": 9, "type": "step_succeeded"}])
    opcode, frame = viewer.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE and int.from_bytes(frame[:2], "big") == 1011


def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.websocket.SEND_SECONDS", 0.2)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timely = _Timely(ours, lambda: None)
        with pytest.raises(TimeoutError):
            timely.send(b"x" * 10_000_000)
        with pytest.raises(BrokenPipeError):  # at once: what could come is no whole message any more
            timely.send(b"x")


@pytest.mark.parametrize("polite", [True, False])
def test_a_stream_ends_when_its_client_goes(
    address: str, api_key: str, make_run: MakeRun, until: Callable[[Callable[[], bool]], None], polite: bool
) -> None:
    before = open_viewers(address)
    viewer = socket_for(address, api_key, make_run("running", steps={"1": {}}))
    viewer.recv()
    assert open_viewers(address) == before + 1
    if polite:
        viewer.close()
    else:
        viewer.sock.close()
    until(lambda: open_viewers(address) == before)


def open_viewers(address: str) -> int:
    lines = requests.get(f"{address}/metrics", timeout=10).text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith('baton_viewers{kind="websocket"'))


def test_no_event_is_lost_over_fifty_reconnects(address: str, api_key: str, tenant: UUID, make_run: MakeRun) -> None:
    # Given a run that goes on while its viewer loses its connection after every second event
    run_id = make_run("running", steps={"1": {}})

    def work() -> None:
        for _ in range(100):
            tell(tenant, run_id, add_events(run_id, tenant, ["step_succeeded"]))
        tell(tenant, run_id, add_events(run_id, tenant, ["run_completed"], "completed"))

    worker = threading.Thread(target=work)
    worker.start()
    seen: list[int] = []
    connections = 0
    while not seen or seen[-1] < 102:
        connections += 1
        stream = Sse(address, api_key, run_id, Last_Event_ID=str(seen[-1] if seen else 0))
        for message, _ in zip(stream, range(2), strict=False):
            seen.append(int(message["id"]))
        stream.answer.close()
    worker.join()
    # Then it saw every event once, in order
    assert seen == list(range(1, 103))
    assert connections >= 50


def test_generate_streams_from_the_first_event(address: str, api_key: str) -> None:
    answer = requests.post(
        f"{address}/api/v1/generate/stream",
        json={"query": "帮我写一段618美妆直播开场话术，活泼一点"},
        headers={"X-API-Key": api_key},
        stream=True,
        timeout=20,
    )
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
    lines = (line.decode() for line in answer.iter_lines(chunk_size=1))
    assert next(line for line in lines if line.startswith("event:")) == "event: run_accepted"
    answer.close()
