"""Watching the wire: a call of a model ends within half a second of a cancel, also while no byte comes.

A node runs in a plain thread that waits in `recv`. Waiting a little at a time, and looking at the watch between, needs
no second thread and leaves no socket behind: the exception unwinds through the HTTP client, which closes the connection
and so tells the server to stop. The same look holds the call's deadline against a server that drips, and counts its
bytes: an answer, or a line, without an end must not fill the memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK_SECONDS = 0.25
MAX_CALL_BYTES = 16 * 1024 * 1024

_here = threading.local()


class Unwatched(Exception):
    """The call was cancelled while it waited for the model."""


class TooLarge(Exception):
    """The server sent more than any answer needs."""


class Watch:
    """One call's reasons to end early.

    `cancelled()` turns true, `deadline` (monotonic seconds; the caller may move it between two reads) passes, or the
    server has sent `bytes_left`.
    """

    def __init__(self, cancelled: Callable[[], bool], deadline: float, max_bytes: int = MAX_CALL_BYTES) -> None:
        self.cancelled = cancelled
        self.deadline = deadline
        self.bytes_left = max_bytes

    def seconds_left(self) -> float:
        """Seconds until the deadline, below 0 after it."""
        return self.deadline - time.monotonic()


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Everything that this thread reads from a watched client inside the block obeys the watch."""
    before = getattr(_here, "watch", None)
    _here.watch = watch
    try:
        yield
    finally:
        _here.watch = before


def watch_client(client: Any) -> Any:
    """Make an httpx (or httpx2) client look at the thread's watch while it reads; returns the client."""
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = WatchedNetwork(pool._network_backend)
    return client


class WatchedNetwork:
    """An httpcore network backend whose streams look at the watch."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def connect_tcp(self, *args: Any, **options: Any) -> WatchedStream:
        return WatchedStream(self._network.connect_tcp(*args, **options))

    def connect_unix_socket(self, *args: Any, **options: Any) -> WatchedStream:
        return WatchedStream(self._network.connect_unix_socket(*args, **options))

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class WatchedStream:
    """An httpcore network stream that reads in short waits."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes. Unwatched on a cancel, TooLarge, or the library's own ReadTimeout when time is up."""
        watch: Watch | None = getattr(_here, "watch", None)
        if watch is None:
            return bytes(self._stream.read(max_bytes, timeout))
        give_up_at = time.monotonic() + timeout if timeout is not None else float("inf")
        while True:
            if watch.cancelled():
                raise Unwatched
            left = min(give_up_at - time.monotonic(), watch.seconds_left())
            try:
                read = bytes(self._stream.read(max_bytes, max(0.001, min(LOOK_SECONDS, left))))
                break
            except Exception as error:
                if type(error).__name__ != "ReadTimeout" or left <= LOOK_SECONDS:
                    raise
        watch.bytes_left -= len(read)
        if watch.bytes_left < 0:
            raise TooLarge("the answer is too large")
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, *args: Any, **options: Any) -> WatchedStream:
        return WatchedStream(self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
