"""A run's events: as pages, as a stream (SSE), or over a WebSocket."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, request

from app import auth
from app.api import blueprint
from app.operation import invalid, operation
from app.schemas.runs import EventPage, EventsQuery
from app.streams import Stream, sse
from app.websocket import add_socket
from storage.reads import events

api = blueprint("events", __name__)


@operation(
    api,
    "GET",
    "/runs/<uuid:run_id>/events",
    "Read or follow a run's events",
    needs="runs:read",
    ticket=True,
    query=EventsQuery,
    answers={200: EventPage},
    streams=(200,),
    headers=("Last-Event-ID",),
)
def page(run_id: UUID, query: EventsQuery) -> Response | dict[str, Any]:
    """With `Accept: text/event-stream` the answer is a stream: first what was, then what happens, until the run ends.

    `id:` is the seq; reconnect with `Last-Event-ID` and nothing is missed or seen twice. Tokens of models come as
    `event: token` without an id. A comment comes every 15 s.
    """
    after = _after(query)
    if _wants_stream():
        return sse(auth.tenant_id(), run_id, after)
    items = events.after(auth.tenant_id(), run_id, after, query.limit)
    return {"items": items, "next_cursor": items[-1]["seq"] if items else None}


@operation(
    api,
    "GET",
    "/runs/<uuid:run_id>/ws",
    "Follow a run's events over a WebSocket",
    needs="runs:read",
    ticket=True,
    query=EventsQuery,
    answers={101: None},
    route=add_socket,
)
def follow(run_id: UUID, query: EventsQuery) -> Stream:
    """Each event is one JSON message; after the final one the server closes normally (1000)."""
    return Stream(auth.tenant_id(), run_id, _after(query))


def _after(query: EventsQuery) -> int:
    """The last seq that the client has. A reconnecting browser repeats its address, so the header wins."""
    last = request.headers.get("Last-Event-ID", "").strip()
    if last:
        if not (last.isascii() and last.isdigit() and len(last) < 19):
            raise invalid("Last-Event-ID", "must be the id of an event")
        return int(last)
    return query.after if query.after is not None else query.cursor or 0


def _wants_stream() -> bool:
    """Whether the client names the stream's type, and does not prefer JSON to it."""
    accepted = request.accept_mimetypes
    named = any(kind.lower() == "text/event-stream" for kind, quality in accepted if quality > 0)
    return named and accepted["text/event-stream"] >= accepted["application/json"]
