"""The WebSocket call: a Flask-Sock route behind the checks that every call has, with the limits that it lacks.

Flask-Sock answers the handshake before it calls its view; a stranger or an unknown run must get a problem instead, so
the checks are the blueprint's `before_request`. Its server may send a message in part and never gives up: `_Timely`
sends all of it or ends the connection. Compression is not negotiated: its state would cost a third of a megabyte each.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import structlog
from flask import Blueprint, g, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

import metrics
from app.operation import dumps, invalid
from app.streams import SEND_SECONDS, Stream

log = structlog.get_logger(__name__)

# Pings find dead peers; viewers have nothing to say, so what they may send is small.
SERVER_OPTIONS = {"ping_interval": 25.0, "max_message_size": 4096}
RECEIVED_BYTES = 1_000_000
CLOSE_SECONDS = 2.0
INTERNAL_ERROR = 1011

sock = Sock()


class _Timely:
    """A connected socket that tells when it is closed; its sends are whole or its end, one at a time."""

    def __init__(self, connection: socket.socket, on_close: Callable[[], None]) -> None:
        self._connection = connection
        self._on_close = on_close
        self._sending = threading.Lock()  # a ping must not come into the middle of a message
        self._received = 0
        connection.settimeout(SEND_SECONDS)

    def send(self, data: bytes) -> None:
        try:
            with self._sending:
                self._connection.sendall(data)
        except OSError:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            raise

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(size)
        self._received += len(data)
        if self._received > RECEIVED_BYTES:
            raise OSError("a viewer that says this much")  # nobody reads it: it would only fill the memory
        return data

    def close(self) -> None:
        # Who waits for events would otherwise notice with the next one that the client has left.
        self._on_close()
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def add_socket(blueprint: Blueprint, path: str, name: str, opened: Callable[..., Stream]) -> None:
    """Add the route. opened: the checked view, whose stream is sent; what it raises is answered instead."""

    @blueprint.before_request
    def check() -> None:
        if request.endpoint != f"{blueprint.name}.{name}":
            return
        if request.headers.get("Sec-WebSocket-Version") != "13":
            raise invalid("Sec-WebSocket-Version", "must be 13")
        if "Sec-WebSocket-Key" not in request.headers:
            raise invalid("Sec-WebSocket-Key", "is missing")
        g.stream = opened(**(request.view_args or {}))
        request.environ["gunicorn.socket"] = _Timely(request.environ["gunicorn.socket"], g.stream.end)
        request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)

    @blueprint.teardown_request
    def leave(_error: BaseException | None) -> None:
        if stream := g.pop("stream", None):
            stream.close()

    @sock.route(path, blueprint, endpoint=name, methods=["GET"])  # type: ignore[untyped-decorator]
    def send_all(server: Server, **_: Any) -> None:
        _send_all(server, g.stream)


def _send_all(server: Server, stream: Stream) -> None:
    """Send each message of the stream, then close normally."""
    try:
        with metrics.VIEWERS.labels("websocket").track_inprogress():
            for message in stream:
                if message is not None:
                    server.send(dumps(stream.shown(message)))
                    if message.event is not None:
                        metrics.EVENTS_DELIVERED.labels("websocket").inc()
        server.close()
        # The peer's own close: a socket closed before it with unread bytes would take our last messages along.
        server.thread.join(CLOSE_SECONDS)
    except TimeoutError:
        metrics.VIEWERS_DROPPED.labels("websocket").inc()
    except (ConnectionClosed, OSError):
        pass  # the client has left
    except Exception:  # a problem's HTTP answer would be no frame
        log.exception("websocket_failed")
        server.close(INTERNAL_ERROR)
