"""The clients of the streams' measure, in a process of their own: a WebSocket on each run, and what came when.

`python -m bench.viewers ws://host:port KEY` reads JSON lines and answers each with one:

    {"watch": [run, ...]}     opens a viewer a run                            -> {"open": how many}
    {"reconnect": [run, ...]} each loses its connection once, one by one      -> {"reconnects": how many came back}
    {"tell": true}            [[run, seq, received at (Unix time)], ...] since the last such line
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
import websocket  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402
from gevent.lock import Semaphore  # noqa: E402

BETWEEN_SECONDS = 0.1
AWAY_SECONDS = 0.3
OPEN_SECONDS = 60.0
OPENING = 50  # handshakes at a time


class Viewers:
    """All viewers, and what they received."""

    def __init__(self, address: str, key: str) -> None:
        self._address, self._key = address, key
        self._sockets: dict[str, websocket.WebSocket] = {}
        self._last: dict[str, int] = {}
        self.received: list[tuple[str, int, float]] = []
        self._opening = Semaphore(OPENING)
        self._connections = 0

    def watch(self, runs: list[str]) -> int:
        """Open a viewer on each run; how many are open."""
        for run in runs:
            gevent.spawn(self._follow, run)
        until = time.monotonic() + OPEN_SECONDS
        while len(self._sockets) < len(runs) and time.monotonic() < until:
            gevent.sleep(0.05)
        return len(self._sockets)

    def reconnect(self, runs: list[str]) -> int:
        """Cut these connections, one after another; each comes back by itself."""
        before = self._connections
        for run in runs:
            self._sockets[run].sock.close()
            gevent.sleep(BETWEEN_SECONDS)
        until = time.monotonic() + OPEN_SECONDS
        while self._connections < before + len(runs) and time.monotonic() < until:
            gevent.sleep(0.05)
        return self._connections - before

    def _follow(self, run: str) -> None:
        while True:
            try:
                address = f"{self._address}/api/v1/runs/{run}/ws?after={self._last.get(run, 0)}"
                with self._opening:
                    viewer = websocket.create_connection(address, header=[f"X-API-Key: {self._key}"])
                self._sockets[run] = viewer
                self._connections += 1
                while told := viewer.recv():
                    event = json.loads(told)
                    self.received.append((run, event["seq"], time.time()))
                    self._last[run] = event["seq"]
            except (OSError, ValueError, websocket.WebSocketException):
                pass
            gevent.sleep(AWAY_SECONDS)


def main(address: str, key: str) -> None:
    """Do what the lines of stdin say."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    viewers = Viewers(address, key)
    for line in FileObject(sys.stdin):
        asked: dict[str, Any] = json.loads(line)
        answer: Any
        if "watch" in asked:
            answer = {"open": viewers.watch(asked["watch"])}
        elif "reconnect" in asked:
            answer = {"reconnects": viewers.reconnect(asked["reconnect"])}
        else:
            answer, viewers.received = viewers.received, []
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
