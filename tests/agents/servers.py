"""Model servers of the tests' own: they speak Ollama's and OpenAI's HTTP API, and fail in the ways real ones do.

    with ModelServer(ollama, answer="Hello there") as server: ...   # server.url, server.requests, server.closed

`asked` is set by the first request; `closed`, when a client that was being answered has hung up.
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

Protocol = Literal["ollama", "openai"]
STALL_SECONDS = 20.0  # longer than any test waits


class QuietServer(ThreadingHTTPServer):
    """An HTTP server that says nothing of clients that hang up: the tests make them do so."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class ModelServer:
    """A server on a free port of 127.0.0.1.

    answer: what the model says, or one answer a request; status: other than 200, every request fails with it; stall:
    "first" says nothing at all, "middle" stops after two chunks; cut: breaks the connection after two chunks;
    drip_seconds: the pause between chunks.
    """

    protocol: Protocol
    answer: str | list[str] = "Hello there, welcome to the stream."
    models: tuple[str, ...] = ("qwen3:8b",)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stall: Literal["", "first", "middle"] = ""
    cut: bool = False
    drip_seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ModelServer:
        self._http = QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def next_answer(self) -> str:
        """What is said to this request."""
        if isinstance(self.answer, str):
            return self.answer
        return self.answer.pop(0) if len(self.answer) > 1 else self.answer[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                server.paths.append(self.path)
                if server.protocol == "ollama" and self.path == "/api/tags":
                    listed = [{"name": name, "model": name, "size": 1, "details": {}} for name in server.models]
                    self.answer_json(200, {"models": listed})
                else:
                    self.answer_json(404, {"error": "not found"})

            def do_POST(self) -> None:
                server.paths.append(self.path)
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(asked)
                server.asked.set()
                if server.stall == "first":
                    self.stall()
                elif server.status != 200:
                    self.answer_json(server.status, {"error": {"message": "no", "type": "x", "code": "x"}})
                else:
                    self.stream(asked)

            def stream(self, asked: dict[str, Any]) -> None:
                self.send_response(200)
                ollama = server.protocol == "ollama"
                self.send_header("Content-Type", "application/x-ndjson" if ollama else "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                lines = ollama_lines if ollama else openai_lines
                try:
                    for number, line in enumerate(lines(asked["model"], server.next_answer())):
                        if number == 2 and server.stall == "middle":
                            self.stall()
                            return
                        if number == 2 and server.cut:
                            self.close_connection = True
                            self.connection.close()
                            return
                        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                        time.sleep(server.drip_seconds)
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    self.close_connection = True
                    server.closed.set()

            def stall(self) -> None:
                """Say nothing until the client hangs up."""
                self.close_connection = True
                readable, _, _ = select.select([self.connection], [], [], STALL_SECONDS)
                if readable and not self.connection.recv(1):
                    server.closed.set()

            def answer_json(self, status: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        return Handler


def pieces(text: str) -> list[str]:
    """A text as a model streams it: a few letters at a time."""
    return [text[at : at + 6] for at in range(0, len(text), 6)]


def ollama_lines(model: str, text: str) -> Iterator[bytes]:
    """Ollama's stream: one JSON object a line, the last one done."""
    common = {"model": model, "created_at": "2026-11-20T00:00:00Z"}
    for piece in pieces(text):
        yield json.dumps({**common, "message": {"role": "assistant", "content": piece}, "done": False}).encode() + b"\n"
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "eval_count": 3}
    yield json.dumps({**common, **end}).encode() + b"\n"


def openai_lines(model: str, text: str) -> Iterator[bytes]:
    """OpenAI's stream: server-sent events, and [DONE]."""
    common = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for piece in pieces(text):
        choice = {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}
        yield b"data: " + json.dumps({**common, "choices": [choice]}).encode() + b"\n\n"
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield b"data: " + json.dumps({**common, "choices": [choice]}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
