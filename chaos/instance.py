"""The instance that is tormented: `manage.py up` in a data dir of its own, with its processes by name."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import redis
from dotenv import dotenv_values
from psycopg2.extensions import connection as Connection

from operate import instance as kept

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 120.0
STOP_SECONDS = 60.0


class Instance:
    """One `manage.py up`, started with `start` and ended with `stop`. folder: its data dir; settings: more of them."""

    def __init__(
        self,
        folder: Path,
        effect_url: str,
        *,
        workers: int,
        alive_seconds: float,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.workers = workers
        self.alive_seconds = alive_seconds
        self._effect_url = effect_url
        self._settings = dict(settings or {})
        self._up: subprocess.Popen[bytes] | None = None
        self._kept = kept.Instance(folder)
        self.env: dict[str, str] = {}

    def start(self) -> None:
        """Start it and wait until it is ready. Raises RuntimeError with the end of its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("BATON_", "DATABASE_", "REDIS_"))
        }
        ours |= {
            "PROBE_EFFECT_URL": self._effect_url,
            "BATON_WORKER_ALIVE_SECONDS": str(self.alive_seconds),
            "BATON_EMBEDDED_MODEL_URL": "http://127.0.0.1:9/v1",  # no model: probes need none
            "PORT": str(_free_port()),
            **self._settings,
        }
        argv = [sys.executable, "manage.py", "up", "--data-dir", str(self.folder), "--no-flower", "--quiet"]
        with (self.folder / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                [*argv, "--workers", str(self.workers)],
                cwd=ROOT,
                env=ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if self._up.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the instance did not start:\n" + (self.folder / "up.log").read_text()[-3000:])
            time.sleep(0.1)

    def stop(self) -> bool:
        """Stop it as Ctrl-C does; False if it had to be killed."""
        if self._up is None:
            return True
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._up.send_signal(signal.SIGTERM)
        try:
            self._up.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._up.kill()
            self._up.wait()
            return False
        return True

    def pids(self) -> list[int]:
        return [row["pid"] for row in self._kept.running()]

    def pid(self, name: str) -> int | None:
        """The pid of a process by its name in `ps`, None while it is down."""
        return next((row["pid"] for row in self._kept.running() if row["name"] == name), None)

    def signal(self, name: str, number: signal.Signals) -> int | None:
        """Send a signal; the pid that got it, or None where the process is down."""
        pid = self.pid(name)
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return None
        return pid

    def ended_by_themselves(self) -> list[str]:
        """What `up` said of processes that ended with an error, without a signal: nothing here may do that."""
        lines = (self.folder / "up.log").read_text(errors="replace").splitlines()
        return [line for line in lines if re.search(r"(worker-\d+|isolated|web|beat) ended \(exit code [1-9]", line)]

    def worker_names(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self.workers + 1)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.env['PORT']}"

    @property
    def api_key(self) -> str:
        return (self.folder / "api_key").read_text().strip()

    def redis(self) -> redis.Redis:
        """A client that gives up after 2 s."""
        return redis.Redis.from_url(self.env["REDIS_URL"], socket_timeout=2, socket_connect_timeout=2)

    def keeper(self) -> Connection:
        """A connection that sees every tenant's engine rows, in autocommit."""
        opened = psycopg2.connect(self.env["BATON_DATABASE_KEEPER_URL"], connect_timeout=3)
        opened.autocommit = True
        return opened

    def call(
        self, method: str, path: str, body: Any = None, *, timeout_seconds: float = 10.0, **headers: str
    ) -> tuple[int, Any]:
        """(status, JSON answer). Raises OSError where no answer came."""
        asked = urllib.request.Request(f"{self.url}/api/v1{path}", method=method)
        asked.add_header("Authorization", f"Bearer {self.api_key}")
        asked.add_header("Content-Type", "application/json")
        for name, value in headers.items():
            asked.add_header(name.replace("_", "-"), value)
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(asked, data, timeout=timeout_seconds) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            text = refused.read()
            return refused.code, json.loads(text) if text.startswith(b"{") else {
                "detail": text.decode(errors="replace")
            }

    def _is_ready(self) -> bool:
        try:
            self.env = {
                name: value or "" for name, value in dotenv_values(self.folder / "env", interpolate=False).items()
            }
            with urllib.request.urlopen(f"{self.url}/api/v1/health/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (OSError, KeyError):
            return False


def _free_port() -> int:
    from storage.embedded.processes import free_port

    return free_port()
