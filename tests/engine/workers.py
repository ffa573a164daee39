"""Real `celery -A tasks worker` processes for the tests: started, signalled, killed, started again when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


@dataclass
class WorkerProcess:
    """One worker: its main process leads a session of its own, so that forked children end with it."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: Path
    immortal: bool = False
    child: subprocess.Popen[bytes] | None = None
    exit_codes: list[int] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def signal(self, number: signal.Signals) -> None:
        """To the main process alone."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the whole session, and forget it."""
        self.immortal = False
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(10)

    def wait(self, timeout_seconds: float) -> int:
        """The exit code."""
        assert self.child is not None
        return self.child.wait(timeout_seconds)

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def received(self) -> int:
        """How many messages it took from the broker so far."""
        return self.output().count("] received")


class Workers:
    """The workers that run now. `shared` is one plain worker for the tests that need nothing special."""

    def __init__(self, env: Mapping[str, str], keeper_url: str, folder: Path) -> None:
        self._env = dict(env)
        self._keeper_url = keeper_url
        self._folder = folder
        self._count = 0
        self._shared: WorkerProcess | None = None
        self.running: list[WorkerProcess] = []
        self._end = threading.Event()
        threading.Thread(target=self._revive, name="revive", daemon=True).start()

    def shared(self) -> WorkerProcess:
        """The plain worker, and no other one."""
        if self._shared is None or self._shared.child is None or self._shared.child.poll() is not None:
            self.stop_all()
            self._shared = self.start()
        for one in [one for one in self.running if one is not self._shared]:
            self._stop(one)
        return self._shared

    def start(
        self,
        *,
        pool: str = "threads",
        concurrency: int = 8,
        queues: str = "agents,tools,maintenance",
        immortal: bool = False,
        **env: str,
    ) -> WorkerProcess:
        """Start one more and wait until it is there. immortal: started again whenever it ends; env: more settings."""
        self._count += 1
        name = f"w{self._count}"
        argv = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "tasks",
            "worker",
            "--pool",
            pool,
            "--concurrency",
            str(concurrency),
        ]
        argv += ["-Q", queues, "-n", f"{name}@%h", "--without-gossip", "--without-mingle"]
        one = WorkerProcess(name, argv, {**self._env, **env}, self._folder / f"{name}.log", immortal)
        one.start()
        self.running.append(one)
        self._wait_for_row(one)
        return one

    def stop_all(self) -> None:
        for one in list(self.running):
            self._stop(one)

    def close(self) -> None:
        self._end.set()
        self.stop_all()

    def _stop(self, one: WorkerProcess) -> None:
        """End it for good; its row goes too, so that nobody waits for its leases."""
        one.kill()
        self.running.remove(one)
        if one is self._shared:
            self._shared = None
        with psycopg2.connect(self._keeper_url) as db, db.cursor() as cursor:
            cursor.execute("DELETE FROM workers WHERE starts_with(name, %s)", (f"{one.name}@",))
        db.close()

    def _wait_for_row(self, one: WorkerProcess) -> None:
        until = time.monotonic() + START_SECONDS
        db = psycopg2.connect(self._keeper_url)
        db.autocommit = True
        with db.cursor() as cursor:
            while time.monotonic() < until:
                cursor.execute("SELECT 1 FROM workers WHERE starts_with(name, %s)", (f"{one.name}@",))
                if cursor.fetchone():
                    db.close()
                    return
                if one.child is not None and one.child.poll() is not None:
                    break
                time.sleep(0.02)
        db.close()
        raise AssertionError(f"the worker {one.name} did not start:\n{one.output()[-3000:]}")

    def _revive(self) -> None:
        while not self._end.wait(0.05):
            for one in list(self.running):
                if one.immortal and one.child is not None and (code := one.child.poll()) is not None:
                    one.exit_codes.append(code)
                    one.start()
