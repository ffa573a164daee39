"""Live streams of a run: what was, from Postgres; then what happens, from hints; until the run ends.

`Stream` is the one way to watch a run; SSE, WebSocket and `?wait=` are dressings of it. Each stream is a greenlet of
its own and reads at its own pace: a client that does not read is dropped after SEND_SECONDS and holds up nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import structlog
from flask import Response, request

import metrics
from app.operation import dumps
from storage import outages
from storage.live import CLOSE, Message, hub
from storage.reads import events
from storage.reads.runs import standing

log = structlog.get_logger(__name__)

SEND_SECONDS = 20.0
COMMENT_SECONDS = 15.0
PAGE_EVENTS = 200
SUBSCRIBE_SECONDS = 0.2
AWAY_SECONDS = 0.5

# After these nothing can follow; after `run_failed` a resume may.
LAST_TYPES = ("run_completed", "run_cancelled")
FINAL_TYPES = (*LAST_TYPES, "run_failed")


class Stream:
    """Events with a larger seq than `after`, in order and without a gap, and tokens between them; then it ends.

    Making it reads what there is (it raises NotFound, or that the database is away); iterating over it goes on from
    there, and survives a database that is away. It gives None when nothing came for `tick_seconds`.
    """

    def __init__(self, tenant_id: UUID, run_id: UUID, after: int, tick_seconds: float = COMMENT_SECONDS) -> None:
        self._tenant_id = tenant_id
        self._tick_seconds = tick_seconds
        self._watch = hub().watch(tenant_id, run_id, after)
        self._viewer = self._watch.__enter__()
        try:
            self._viewer.get(SUBSCRIBE_SECONDS)  # hints are on their way from here on, if Redis answers at all
            self._news: list[dict[str, Any]] | None = None
            self._ended = False
            self._read()
        except BaseException:
            self.close()
            raise

    def end(self) -> None:
        """Make the iteration end soon, from another thread."""
        self._viewer.put(CLOSE)

    def close(self) -> None:
        """Stop watching."""
        self._watch.__exit__(None, None, None)

    def shown(self, message: Message) -> dict[str, Any]:
        """An event as it is; a token in the shape of an event, without a seq."""
        if message.event is not None:
            return message.event
        token = dict(message.token or {})
        step, node = token.pop("step", None), token.pop("node", None)
        return {"run_id": str(self._viewer.run_id), "type": "token", "step": step, "node": node, "data": token}

    def __iter__(self) -> Iterator[Message | None]:
        try:
            yield from self._all()
        finally:
            self.close()

    def _all(self) -> Iterator[Message | None]:
        quiet_since = time.monotonic()
        while True:
            while self._news:
                news, self._news = self._news, []
                for event in news:
                    self._viewer.seq = event["seq"]
                    yield Message(event=event)
                quiet_since = time.monotonic()
                if not self._ended:
                    self._try_read()
            if self._ended:
                return
            left = quiet_since + self._tick_seconds - time.monotonic()
            if left <= 0:
                yield None
                quiet_since = time.monotonic()
                self._try_read()  # for a client that asked for events after one that there is not
                continue
            # None: the database is away, look again soon
            message = self._viewer.get(left if self._news is not None else min(left, AWAY_SECONDS))
            if message is None:
                if self._news is None:
                    self._try_read()
            elif message is CLOSE:
                return
            elif message.event is not None:
                yield from self._told(message)
                quiet_since = time.monotonic()
            elif message.token is not None:
                yield message
            else:
                self._try_read()

    def _told(self, message: Message) -> Iterator[Message]:
        """Show an event that a hint brought if it is the next one; read where some are missing."""
        assert message.event is not None
        seq, type = message.event["seq"], message.event["type"]
        if seq == self._viewer.seq + 1:
            self._viewer.seq = seq
            yield message
            self._ended = type in LAST_TYPES
            if type == "run_failed":
                self._try_read()  # that may have been the end
        elif seq > self._viewer.seq or type in FINAL_TYPES:
            self._try_read()

    def _try_read(self) -> None:
        try:
            self._read()
        except outages.DATABASE_AWAY as away:
            log.warning("stream_database_away", error=outages.first_line(away))
            self._news = None

    def _read(self) -> None:
        """Read what the viewer has not seen yet, and whether that is all there will be."""
        self._news, standing = events.since(self._tenant_id, self._viewer.run_id, self._viewer.seq, PAGE_EVENTS)
        newest = self._news[-1]["seq"] if self._news else self._viewer.seq
        self._ended = standing.final and newest >= standing.seq


def wait_for_end(tenant_id: UUID, run_id: UUID, seconds: float, *, or_pause: bool = False) -> bool:
    """Wait until the run ends, so many seconds at most; whether it did. Raises NotFound.

    or_pause: nor longer than until it waits for an answer.
    """
    until = time.monotonic() + seconds
    status, seq = standing(tenant_id, run_id)
    if or_pause and status == "paused":
        return False
    watching = iter(Stream(tenant_id, run_id, seq, tick_seconds=min(seconds, 1.0)))
    try:
        return not any(time.monotonic() >= until or (or_pause and _is_pause(message)) for message in watching)
    finally:
        watching.close()  # type: ignore[attr-defined]


def _is_pause(message: Message | None) -> bool:
    return message is not None and message.event is not None and message.event["type"] == "run_paused"


def sse(tenant_id: UUID, run_id: UUID, after: int, headers: Mapping[str, str] | None = None) -> Response:
    """The run's events as a stream of server-sent events. Raises NotFound."""
    stream = Stream(tenant_id, run_id, after)
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        # A client that stops reading blocks this greenlet's send: for so long and no longer.
        connection.settimeout(SEND_SECONDS)

    def lines() -> Iterator[bytes]:
        with metrics.VIEWERS.labels("sse").track_inprogress():
            yield b": baton\n\n"
            for message in stream:
                yield _sse(message and stream.shown(message))

    kept = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", **(headers or {})}
    answer = Response(lines(), 200, headers=kept, content_type="text/event-stream; charset=utf-8")
    answer.call_on_close(stream.close)
    return answer


def _sse(shown: dict[str, Any] | None) -> bytes:
    if shown is None:
        return b": still here\n\n"
    if "seq" not in shown:
        return f"event: token\ndata: {dumps(shown)}\n\n".encode()
    metrics.EVENTS_DELIVERED.labels("sse").inc()
    return f"id: {shown['seq']}\nevent: {shown['type']}\ndata: {dumps(shown)}\n\n".encode()
