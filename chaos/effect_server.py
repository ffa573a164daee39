"""A server outside that counts: every POST under its `Idempotency-Key`, as an effect's other side would see it."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EffectServer:
    """Counts POSTs. bodies: what came, by Idempotency-Key; answers 200 with a small JSON object."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"] or 0)
                raw = self.rfile.read(length)
                if len(raw) < length:  # its sender was killed while it spoke: half a request is none
                    self.close_connection = True
                    return
                body = json.loads(raw or b"{}")
                with outer._lock:
                    outer.bodies[self.headers["Idempotency-Key"]].append(body)
                answer = b'{"ok": true}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: Any) -> None:
                """A client that was killed while it spoke is what happens here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, name="effects", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/effect"

    def of_run(self, run_id: object) -> dict[str, list[dict[str, Any]]]:
        """The POSTs of one run by key."""
        with self._lock:
            return {
                key: list(bodies)
                for key, bodies in self.bodies.items()
                if any(one["run_id"] == str(run_id) for one in bodies)
            }

    def count(self, key: str) -> int:
        """How many POSTs came under this key."""
        with self._lock:
            return len(self.bodies.get(key, ()))

    def snapshot(self) -> dict[str, list[dict[str, Any]]]:
        """All POSTs by key."""
        with self._lock:
            return {key: list(bodies) for key, bodies in self.bodies.items()}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
