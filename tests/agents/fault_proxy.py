"""A model server of the tests' own that fails in the ways real ones do; OpenAI's, Ollama's and Anthropic's API in one.

    with FaultProxy() as server: ...                       # answers right; server.url, server.requests, server.served
    with FaultProxy(fault="hang_in_middle") as server: ... # every request
    with FaultProxy(plan=seeded(7, 0.3)) as server: ...    # by chance, the same chance for the same seed

The answer is a function of the request (protocols.py), or `answer`. `kill()` is the death of its process: it listens no
more and resets every connection; `come_back()` listens on the same port again.
"""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.agents import protocols
from tests.agents.protocols import PATHS, Answer, Protocol

FAULTS = (
    "hang_before_headers",
    "hang_after_headers",
    "hang_in_middle",
    "500",
    "503",
    "429",
    "cut_chunked",
    "cut_plain",  # without chunks: a client that trusts the connection's end takes the half for the whole
    "error_event",
    "garbage",
    "html",
    "drip",
    "huge",
    "endless_line",
    "closed",
    "refusal",
    "empty",
)
# Also: any status as a number; "cut_after_end", "hang_after_end": the answer and its reason come, its numbers do not.
HANG_SECONDS = 30.0  # longer than any test waits
HUGE_BYTES = 64 * 1024 * 1024
PAGE = b"<html><body><h1>Sign in to the guest network</h1></body></html>\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset

Plan = Callable[[int, dict[str, Any]], str | None]
Says = Callable[[dict[str, Any]], str]  # a request -> what is said to it


def seeded(seed: int, share: float, faults: Sequence[str] = FAULTS) -> Plan:
    """A plan that gives this share of the requests a fault; the n-th request's is the same in every run."""

    def plan(number: int, _asked: dict[str, Any]) -> str | None:
        chance = random.Random(f"{seed}:{number}")
        return chance.choice(list(faults)) if chance.random() < share else None

    return plan


@dataclass(frozen=True)
class Served:
    """What became of one request: the fault, and the tokens that a provider would bill."""

    fault: str | None
    tokens_in: int
    tokens_out: int
    whole: bool


class Gone(Exception):
    """The client has hung up, or the server was killed."""


class Http(ThreadingHTTPServer):
    """An HTTP server that knows its connections, and says nothing of clients that hang up: tests make them do so."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.connections: set[socket.socket] = set()
        self.accepted = 0
        self.killed = threading.Event()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.add(request)
        self.accepted += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """No goodbye from the killed: closing alone resets the connection."""
        if self.killed.is_set():
            with suppress(OSError):
                request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.close_request(request)
        else:
            super().shutdown_request(request)
        self.connections.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@dataclass
class FaultProxy:
    """The server, on a free port of 127.0.0.1.

    answer: what is said, one text a request (the last one again and again), or a function of the request; models: what
    /api/tags and /v1/models list; fault: every request's ("html" also of the lists); plan: asked where `fault` is None;
    headers, message: of answers with a status; drip_seconds: the pause between two events of every answer; `asked` is
    set by the first request; `closed`, when a client that was being answered has hung up.
    """

    answer: str | list[str] | Says | None = None
    models: tuple[str, ...] = ("qwen3:8b",)
    fault: str | None = None
    plan: Plan | None = None
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no"
    drip_seconds: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def __enter__(self) -> FaultProxy:
        self._lock = threading.Lock()
        self.come_back()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Where it listens; the same after a death."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def accepted(self) -> int:
        """How many connections were made to it (since it came back)."""
        return self._http.accepted

    def come_back(self) -> None:
        """Listen (again), on the port of last time."""
        self._http = Http(("127.0.0.1", self.port), type("Handler", (Handler,), {"proxy": self}))
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def kill(self) -> None:
        """Stop listening and reset every connection; returns when that is done."""
        self._http.killed.set()
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self._http.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads; it closes
        until = time.monotonic() + 5
        while self._http.connections and time.monotonic() < until:
            time.sleep(0.005)

    def take(self, path: str, asked: dict[str, Any]) -> tuple[str | None, str | None]:
        """Count a request; returns its fault and what is said to it."""
        with self._lock:
            number = len(self.requests)
            self.paths.append(path)
            self.requests.append(asked)
            said = self.answer
            if isinstance(said, list):
                said = said.pop(0) if len(said) > 1 else said[0]
        said = said(asked) if callable(said) else said
        self.asked.set()
        return self.fault or (self.plan(number, asked) if self.plan else None), said

    def bill(self, served: Served) -> None:
        """Note what a request would cost."""
        with self._lock:
            self.served.append(served)


class Handler(BaseHTTPRequestHandler):
    """One connection's requests."""

    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    server: Http
    chunked = True

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.proxy.paths.append(self.path)
        if self.proxy.fault == "html":
            self.begin("html", "openai")
            self.send(PAGE)
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/api/tags":
            listed = [{"name": name, "model": name, "size": 1, "details": {}} for name in self.proxy.models]
            self.answer_json(200, {"models": listed})
        elif self.path == "/v1/models":
            self.answer_json(200, {"object": "list", "data": [{"id": name} for name in self.proxy.models]})
        else:
            self.answer_json(404, {"error": "not found"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault, said = self.proxy.take(self.path, asked)
        try:
            if fault == "hang_before_headers":
                self.hang()
            elif fault == "closed":
                raise Gone
            elif fault and fault.isdigit():
                self.fail(int(fault))
            elif self.path in ("/v1/embeddings", "/api/embed"):
                self.answer_json(200, protocols.embeddings(self.path, asked))
            else:
                self.talk(PATHS[self.path.split("?")[0]], asked, fault, said)
        except (Gone, OSError):
            self.close_connection = True
            self.proxy.closed.set()

    def talk(self, protocol: Protocol, asked: dict[str, Any], fault: str | None, said: str | None) -> None:
        """Answer a chat, with or without a fault in it."""
        answer = protocols.answer_to(protocol, asked, "" if fault == "empty" else said, refused=fault == "refusal")
        if not asked.get("stream", protocol == "ollama"):
            self.answer_json(200, protocols.openai_whole(answer))
            self.proxy.bill(Served(fault, answer.tokens_in, answer.tokens_out, whole=True))
            return
        self.begin(fault, protocol)
        sent = 0
        try:
            if fault in ("garbage", "html", "huge", "endless_line"):
                self.nonsense(fault, protocol, answer)
            else:
                for event in self.told(protocol, answer, fault):
                    self.send(event)
                    sent += 1
                if self.chunked:
                    self.wfile.write(b"0\r\n\r\n")
        finally:
            self.note(protocol, answer, fault, sent)

    def told(self, protocol: Protocol, answer: Answer, fault: str | None) -> Any:
        """The events of the answer, as far as the fault lets them come."""
        whole = protocols.events(protocol, answer)
        for number, event in enumerate(whole):
            in_middle = number == max(1, len(whole) // 2)
            if fault == "hang_after_headers" or (fault == "hang_in_middle" and in_middle):
                self.hang()
            at_end = number == protocols.end_of(protocol, whole)
            if at_end and fault == "hang_after_end":
                self.hang()
            if (in_middle and fault in ("cut_chunked", "cut_plain")) or (at_end and fault == "cut_after_end"):
                raise Gone
            if in_middle and fault == "error_event":
                yield protocols.error_event(protocol, "the server is overloaded", "overloaded_error")
                raise Gone
            yield event
            if fault == "drip" or self.proxy.drip_seconds:
                self.wait(self.proxy.drip_seconds or 0.1)

    def begin(self, fault: str | None, protocol: Protocol) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if fault == "html" else protocols.CONTENT_TYPES[protocol])
        self.chunked = fault != "cut_plain"
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()

    def nonsense(self, fault: str, protocol: Protocol, answer: Answer) -> None:
        """What is no answer."""
        prefix = b'{"model": "' if protocol == "ollama" else b"data: "
        if fault == "garbage":
            self.send(prefix + b'm", "choices": [{"delta": \xff\n\n')
        elif fault == "html":
            self.send(PAGE)
        elif fault == "endless_line":
            self.send(prefix)
            for _ in range(HUGE_BYTES // 65536):
                self.send(b"x" * 65536)
        else:
            middle = protocols.events(protocol, answer)[2]
            for _ in range(HUGE_BYTES // (200 * len(middle))):
                self.send(middle * 200)
        self.wfile.write(b"0\r\n\r\n")

    def note(self, protocol: Protocol, answer: Answer, fault: str | None, sent: int) -> None:
        whole = sent == len(protocols.events(protocol, answer))
        share = sent / len(protocols.events(protocol, answer))
        self.proxy.bill(Served(fault, answer.tokens_in, round(answer.tokens_out * share), whole))

    def fail(self, status: int) -> None:
        """A refusal with a status; its message is `message`."""
        protocol = next((kind for path, kind in PATHS.items() if self.path.startswith(path)), "openai")
        self.answer_json(status, protocols.error_body(protocol, self.proxy.message, f"error_{status}"))

    def send(self, event: bytes) -> None:
        if self.server.killed.is_set():
            raise Gone
        self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n" if self.chunked else event)

    def hang(self) -> None:
        """Say nothing until the client hangs up."""
        self.wait(HANG_SECONDS)
        raise Gone

    def wait(self, seconds: float) -> None:
        """Wait, unless the client hangs up or the server dies. Gone."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.02))
            if self.server.killed.is_set() or (readable and not self.connection.recv(1, socket.MSG_PEEK)):
                raise Gone

    def answer_json(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in self.proxy.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
