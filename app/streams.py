"""Live streams of a run: what was, from Postgres; then what happens, from hints; until the run ends.

`follow` is the one way to watch a run; SSE, WebSocket and `?wait=` are dressings of it. Each stream is a greenlet of
its own and reads at its own pace: a client that does not read is dropped after SEND_SECONDS and holds up nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import structlog
from flask import Response, request
from simple_websocket import ConnectionClosed

import metrics
from app.operation import dumps
from app.websocket import SEND_SECONDS, accept_socket, hang_up
from storage import outages
from storage.live import Message, Viewer, hub
from storage.reads import events

log = structlog.get_logger(__name__)

COMMENT_SECONDS = 15.0
PAGE_EVENTS = 200
SUBSCRIBE_SECONDS = 0.05
AWAY_SECONDS = 0.5

# After these nothing can follow; after `run_failed` a resume may.
LAST_TYPES = ("run_completed", "run_cancelled")


def follow(tenant_id: UUID, run_id: UUID, after: int, tick_seconds: float = COMMENT_SECONDS) -> Iterator[Message | None]:
    """Events with a larger seq than `after`, in order and without a gap, and tokens between them; then it ends.

    Yields None when nothing came for `tick_seconds`. It survives a database that is away. Raises NotFound.
    """
    with hub().watch(tenant_id, run_id, after) as viewer:
        quiet_since = time.monotonic()
        read = True
        while True:
            if read:
                found, ended = _read(tenant_id, viewer)
                for event in found or ():
                    viewer.seq = event["seq"]
                    yield Message(event=event)
                if ended:
                    return
                if found:
                    quiet_since = time.monotonic()
                    continue  # until there are no more
                read = found is None
            message = viewer.get(AWAY_SECONDS if read else max(0.01, quiet_since + tick_seconds - time.monotonic()))
            if message is not None and message.event is None and message.token is None:
                read = True
            elif message is not None and message.event is not None:
                seq = message.event["seq"]
                read = read or seq > viewer.seq + 1
                if seq == viewer.seq + 1:
                    viewer.seq = seq
                    yield message
                    if message.event["type"] in LAST_TYPES:
                        return
                    read = message.event["type"] == "run_failed"
            elif message is not None:
                yield message
            if time.monotonic() - quiet_since >= tick_seconds:
                yield None
                quiet_since = time.monotonic()
            elif message is not None and message.event is not None:
                quiet_since = time.monotonic()


def _read(tenant_id: UUID, viewer: Viewer) -> tuple[list[dict[str, Any]] | None, bool]:
    """What the viewer has not seen yet, and whether that was all there will be; None while the database is away."""
    try:
        found, standing = events.since(tenant_id, viewer.run_id, viewer.seq, PAGE_EVENTS)
    except outages.DATABASE_AWAY as away:
        log.warning("stream_database_away", error=outages.first_line(away))
        return None, False
    newest = found[-1]["seq"] if found else viewer.seq
    return found, standing.final and newest >= standing.seq


def wait_for_end(tenant_id: UUID, run_id: UUID, seconds: float) -> bool:
    """Wait until the run ends, so many seconds at most; whether it did. Raises NotFound."""
    until = time.monotonic() + seconds
    seq = events.standing(tenant_id, run_id).seq
    watching = follow(tenant_id, run_id, max(0, seq - 1), tick_seconds=min(seconds, 1.0))
    try:
        for _ in watching:
            if time.monotonic() >= until:
                return False
        return True
    finally:
        watching.close()  # type: ignore[attr-defined]


def sse(tenant_id: UUID, run_id: UUID, after: int, headers: Mapping[str, str] | None = None) -> Response:
    """The run's events as a stream of server-sent events."""
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        # A client that stops reading blocks this greenlet's send: for so long and no longer.
        connection.settimeout(SEND_SECONDS)

    def lines() -> Iterator[bytes]:
        with metrics.VIEWERS.labels("sse").track_inprogress():
            yield b": baton\n\n"
            for message in follow(tenant_id, run_id, after):
                yield _sse(run_id, message)

    kept = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", **(headers or {})}
    return Response(lines(), 200, headers=kept, content_type="text/event-stream; charset=utf-8")


def _sse(run_id: UUID, message: Message | None) -> bytes:
    if message is None:
        return b": still here\n\n"
    if message.event is None:
        return f"event: token\ndata: {dumps(_token(run_id, message))}\n\n".encode()
    metrics.EVENTS_DELIVERED.labels("sse").inc()
    event = message.event
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {dumps(event)}\n\n".encode()


def _token(run_id: UUID, message: Message) -> dict[str, Any]:
    """A token in the shape of an event, without a seq."""
    token = dict(message.token or {})
    step = token.pop("step", None)
    return {"run_id": str(run_id), "type": "token", "step": step, "node": token.pop("node", None), "data": token}


def websocket(tenant_id: UUID, run_id: UUID, after: int) -> Response:
    """Take the connection over, send each event as a JSON message, then close normally."""
    socket = accept_socket(request.environ)
    with metrics.VIEWERS.labels("websocket").track_inprogress():
        try:
            for message in follow(tenant_id, run_id, after):
                if not socket.connected:
                    break
                if message is not None:
                    socket.send(dumps(message.event or _token(run_id, message)))
                    if message.event is not None:
                        metrics.EVENTS_DELIVERED.labels("websocket").inc()
        except (ConnectionClosed, OSError) as gone:
            if isinstance(gone, TimeoutError):
                metrics.VIEWERS_DROPPED.labels("websocket").inc()
    return hang_up(socket)
