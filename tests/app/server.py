"""A real gunicorn process with the project's own configuration, as `manage.py up` starts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def web_process(log: Path, **environment: str) -> Iterator[str]:
    """Start it with the environment of this process and more; its address once it is ready."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "app/gunicorn_conf.py", "app.server:app"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, **environment, "PORT": str(port)}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 20
            while not _ready(address):
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            process.wait(20)


def _ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/v1/health/ready", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
