"""A whole instance for acceptance tests: `manage.py up` as a user starts it, watched through `ps` and the API."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from operate.instance import Instance

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("BATON_", "DATABASE_URL", "REDIS_URL", "PORT", "FLOWER_", "PROMETHEUS_", "OPENAI_", "ANTHROPIC_", "OLLAMA_")
EVERYTHING = {"web", "worker-1", "worker-2", "isolated", "beat", "flower", "postgres", "redis", "model"}


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without any setting of ours, plus `more`."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith(OURS)}, **more}


def wait_for(condition: Callable[[], Any], what: str, *, seconds: float = 60.0) -> Any:
    """The condition's first true value; AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.03)
    raise AssertionError(f"not within {seconds} s: {what}")


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _end_with_the_tests() -> None:
    """Linux: `up` is told to stop when the test run is killed, which leaves no time to stop it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class House:
    """One `manage.py up`. Addresses and key are valid once `wait_until_ready` returned."""

    def __init__(self, data_dir: Path, *args: str, **environment: str) -> None:
        self.data_dir = data_dir
        self.args = args
        self.environment = clean_environment(**environment)
        self.up: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    def start(self) -> House:
        """Start `up`; its output goes to <data-dir>.log."""
        with self.output.open("ab") as output:
            self.up = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up", "--data-dir", str(self.data_dir), *self.args],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_the_tests,
            )
        return self

    @property
    def output(self) -> Path:
        """What `up` printed."""
        return self.data_dir.with_name(self.data_dir.name + ".log")

    @property
    def api_key(self) -> str:
        """The key of the default tenant."""
        return (self.data_dir / "api_key").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a call of the API."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def wait_until_ready(self, seconds: float = 90.0) -> House:
        """Wait for the readiness call and for every process that `ps` is to show."""

        def ready() -> bool:
            assert self.up is not None
            assert self.up.poll() is None, f"up ended: {self.output.read_text()[-3000:]}"
            return self.answers_ready()

        wait_for(ready, "ready", seconds=seconds)
        return self

    def answers_ready(self) -> bool:
        """Whether the readiness call answers 200 now."""
        port = next((row["port"] for row in Instance(self.data_dir).running() if row["name"] == "web"), None)
        if port is None:
            return False
        self.base_url = f"http://127.0.0.1:{port}"
        try:
            return requests.get(f"{self.base_url}/api/v1/health/ready", timeout=3).status_code == 200
        except requests.RequestException:
            return False

    def manage(self, *args: str, timeout_seconds: float = 20.0) -> subprocess.CompletedProcess[str]:
        """Run an operator command on this instance."""
        command = [sys.executable, str(ROOT / "manage.py"), *args, "--data-dir", str(self.data_dir)]
        return subprocess.run(
            command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=timeout_seconds
        )

    def rows(self) -> list[dict[str, Any]]:
        """What `manage.py ps --json` prints."""
        done = self.manage("ps", "--json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def ps(self) -> dict[str, int]:
        """The pids by name, as `ps` finds them (without the cost of starting the command)."""
        return {row["name"]: row["pid"] for row in Instance(self.data_dir).running()}

    def kill(self, name: str, sign: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process of the instance; its pid."""
        pid = self.ps()[name]
        os.kill(pid, sign)
        return pid

    def run(self, chain: str, input: dict[str, Any], *, wait_seconds: int = 30, **more: Any) -> dict[str, Any]:
        """Start a run and wait for its end; the run. A 503 says "try again", and this does, with the same key."""
        headers = {**self.headers, "Idempotency-Key": secrets.token_hex(8)}

        def start() -> requests.Response | None:
            body = {"chain": chain, "input": input, **more}
            answer = requests.post(f"{self.base_url}/api/v1/runs", json=body, headers=headers, timeout=10)
            return None if answer.status_code == 503 else answer

        answer = wait_for(start, "a run is accepted")
        assert answer.status_code == 202, answer.text
        return self.wait_for_run(answer.json()["run_id"], wait_seconds=wait_seconds)

    def wait_for_run(self, run_id: str, *, wait_seconds: int = 30) -> dict[str, Any]:
        """The run, once it has ended or after so many seconds."""
        answer = requests.get(
            f"{self.base_url}/api/v1/runs/{run_id}",
            params={"wait": wait_seconds},
            headers=self.headers,
            timeout=wait_seconds + 10,
        )
        assert answer.status_code == 200, answer.text
        run: dict[str, Any] = answer.json()
        return run

    def stop(self, sign: signal.Signals = signal.SIGINT, *, seconds: float = 40.0) -> int:
        """Stop `up` as Ctrl-C does; its exit code."""
        if self.up is None:
            return 0
        if self.up.poll() is None:
            self.up.send_signal(sign)
        try:
            return self.up.wait(seconds)
        finally:
            self.up.kill()
            self.up.wait()
