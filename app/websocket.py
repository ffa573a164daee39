"""WebSocket connections under gunicorn, with the limits that simple-websocket leaves to its user.

Sends are whole and end in time (its own `send` may write a part and has no timeout), messages from clients are small,
pings find dead peers, and no compression is negotiated: its state would cost a third of a megabyte a socket.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from typing import Any

from flask import Response
from simple_websocket import ConnectionClosed, Server

SEND_SECONDS = 20.0
PING_SECONDS = 25.0
CLOSE_SECONDS = 2.0
MAX_MESSAGE_BYTES = 4096


class _Timely:
    """A connected socket whose sends are whole or raise TimeoutError; reads have no timeout."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.settimeout(SEND_SECONDS)

    def send(self, data: bytes) -> int:
        if data:
            self._connection.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Server(Server):  # type: ignore[misc]
    """Says at once when the client is gone: who waits for events would not notice before the next one."""

    def _thread(self) -> None:
        try:
            super()._thread()
        finally:
            self.environ["baton.on_gone"]()


def accept_socket(environ: dict[str, Any], on_gone: Callable[[], None]) -> Server:
    """Answer the handshake of this request; on_gone is called when the client has left."""
    mine = {**environ, "gunicorn.socket": _Timely(environ["gunicorn.socket"]), "baton.on_gone": on_gone}
    mine.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    server: Server = _Server.accept(
        mine,
        ping_interval=PING_SECONDS,
        max_message_size=MAX_MESSAGE_BYTES,
        receive_bytes=2 * MAX_MESSAGE_BYTES,
        selector_class=selectors.DefaultSelector,
    )
    return server


class _TakenOver(Response):
    """What tells gunicorn that the connection is no longer its."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise StopIteration


def hang_up(server: Server) -> Response:
    """Close normally, if it is still open."""
    with contextlib.suppress(ConnectionClosed, OSError, ValueError):
        server.close()
        # The peer's own close: a socket closed before it with unread bytes would take our last messages along.
        server.thread.join(CLOSE_SECONDS)
    return _TakenOver()
