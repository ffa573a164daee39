"""One web process, as the Procfile starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.asking import ROOT
from bench.crew import wait_until
from storage.embedded.processes import free_port


@contextmanager
def web(folder: Path) -> Iterator[tuple[str, int]]:
    """host:port, and the pid of the process that serves. folder: for its log."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "app/gunicorn_conf.py", "app.server:app"]
    environment = {**os.environ, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    with (folder / "web.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: _ready(port), "the start of the web process", 30)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield f"127.0.0.1:{port}", int(children[0])
    finally:
        process.terminate()
        process.wait(20)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health/ready", timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
