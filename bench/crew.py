"""A contestant's worker processes: started once, frozen (SIGSTOP) while it is not their turn, watched for CPU time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Crew:
    """Worker processes of one contestant, and the servers whose CPU time counts as theirs."""

    def __init__(self, name: str, argv: Sequence[str], processes: int, servers: Sequence[int], folder: Path) -> None:
        self.name = name
        self.servers = tuple(servers)
        self.workers = []
        for number in range(1, processes + 1):
            log = (folder / f"{name}-{number}.log").open("wb")
            command = [sys.executable, "-m", "celery", *argv, "-n", f"{name}-{number}@%h"]
            self.workers.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def pause(self) -> None:
        """Freeze the workers: an idle contestant must not take time from the other."""
        for worker in self.workers:
            worker.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the workers go on."""
        for worker in self.workers:
            worker.send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU time so far of the workers, their servers and the servers' children (Postgres has one a connection)."""
        family = _children()
        seconds = 0.0
        for pid in (*(worker.pid for worker in self.workers), *self.servers):
            seconds += sum(_cpu_seconds(one) for one in (pid, *family.get(pid, ())))
            seconds += _reaped_seconds(pid)
        return seconds

    def check(self) -> None:
        """Raise if a worker has ended: then nothing that was measured counts."""
        for worker in self.workers:
            if worker.poll() is not None:
                raise RuntimeError(f"a worker of {self.name} ended with {worker.returncode}; see its log")

    def stop(self) -> None:
        """End the workers, for good."""
        for worker in self.workers:
            worker.kill()
        for worker in self.workers:
            worker.wait(10)


def bare_argv(threads: int, task_events: bool, log_level: str) -> list[str]:
    """How the bare workers are started."""
    events = ["-E"] if task_events else []
    return ["-A", "bench.bare", "worker", *_common(threads), "-Q", "bare", "--loglevel", log_level, *events]


def baton_argv(threads: int) -> list[str]:
    """How Baton's workers are started, as in the Procfile; events and log level come from its settings."""
    return ["-A", "tasks", "worker", *_common(threads), "-Q", "agents,tools,maintenance"]


def _common(threads: int) -> list[str]:
    return ["--pool", "threads", "--concurrency", str(threads), "--without-gossip", "--without-mingle"]


def wait_until(done: Callable[[], bool], what: str, seconds: float = 120.0, pause: float = 0.2) -> None:
    """Wait for a condition. Raises TimeoutError that names it."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} took longer than {seconds:.0f} s")
        time.sleep(pause)


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND if fields else 0.0


def _reaped_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND if fields else 0.0


def _children() -> dict[int, list[int]]:
    family: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            family.setdefault(int(fields[1]), []).append(int(entry.name))
    return family
