"""A contestant's worker processes: started once, frozen (SIGSTOP) while it is not their turn, watched for CPU time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.asking import ROOT, hear, tell

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Crew:
    """Worker processes of one contestant, and the servers whose CPU time counts as theirs."""

    def __init__(self, name: str, servers: Sequence[int]) -> None:
        self.name = name
        self.servers = tuple(servers)
        self.workers: list[subprocess.Popen[str]] = []

    def start(self, commands: Sequence[Sequence[str]], folder: Path, *, asked: bool = False) -> None:
        """Start the workers, with their logs in `folder`.

        asked: they are told what to do in JSON lines, and each is started when the one before it has made its tables.
        """
        for number, command in enumerate(commands, 1):
            log = (folder / f"{self.name}-{number}.log").open("w")
            ears, mouth = (subprocess.PIPE, subprocess.PIPE) if asked else (subprocess.DEVNULL, log)
            worker = subprocess.Popen(command, cwd=ROOT, stdin=ears, stdout=mouth, stderr=log, text=True)
            self.workers.append(worker)
            if asked:
                hear(worker)  # "ready"

    def ask(self, questions: Sequence[object]) -> list[Any]:
        """Put one question to each worker, all at the same time; their answers."""
        for worker, question in zip(self.workers, questions, strict=True):
            tell(worker, question)
        return [hear(worker) for worker in self.workers]

    def pause(self) -> None:
        """Freeze the workers: an idle contestant must not take time from the others."""
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
