"""Keeping the connection after a whole answer, so that the next call needs no handshake.

OpenAI's client hangs up as soon as it reads `[DONE]`, mostly a moment before the body's own end arrives: every call
would open a connection, over TLS for tens of milliseconds. Here a body that has said `[DONE]` is read to its end first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from gateway.wire.watch import Watch, watched

DONE = b"[DONE]"
REST_SECONDS = 0.05


def read_to_the_end(response: Any) -> None:
    """An httpx (or httpx2) response hook: closing reads the end of a body that is done."""
    library = sys.modules[type(response).__module__.partition(".")[0]]

    class Body(library.SyncByteStream):  # type: ignore[misc, name-defined]
        """The body, and its last bytes."""

        def __init__(self, stream: Any) -> None:
            self._stream, self._rest, self._tail = stream, iter(stream), b""

        def __iter__(self) -> Iterator[bytes]:
            for piece in self._rest:
                self._tail = (self._tail + piece)[-2 * len(DONE) :]
                yield piece

        def close(self) -> None:
            if DONE in self._tail:
                # A rest that does not come is not waited for: the connection is closed then.
                with suppress(Exception), watched(Watch(lambda: False, time.monotonic() + REST_SECONDS)):
                    next(self._rest, None)
            self._stream.close()

    response.stream = Body(response.stream)
