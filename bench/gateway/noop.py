"""A model that does nothing, as fast as Python can: OpenAI's protocol on a raw socket: `python -m bench.gateway.noop`.

Every request gets the same answer, a JSON object or a small stream. The line that it writes is its URL.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.agents.protocols import Answer, openai_events, openai_whole

ANSWER = Answer("noop", "ok", tokens_in=12, tokens_out=1)


def _response(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


WHOLE = _response("application/json", json.dumps(openai_whole(ANSWER)).encode())
STREAM = _response("text/event-stream", b"".join(openai_events(ANSWER)))


class Connection(asyncio.Protocol):
    """One client's requests, one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if len(body) < int(lengths[0].partition(b":")[2]):
            return
        self.received = b""
        wants_stream = b'"stream":true' in body.replace(b" ", b"")
        self.transport.write(STREAM if wants_stream else WHOLE)


async def main() -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(json.dumps(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
