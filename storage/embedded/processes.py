"""Who is this pid? Identity of processes by /proc, so that a pid given out again is never mistaken."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from pathlib import Path


def start_time(pid: int) -> int | None:
    """Clock ticks between the machine's boot and the start of the process; None: no such process, or only its zombie.

    A pid with its start time names one process for ever. Where there is no /proc, 0 for every living pid.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return 0 if _answers(pid) else None
    return None if fields[0] in "ZX" else int(fields[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def living_in(folder: Path, program: str) -> list[int]:
    """Pids of the processes of this program that work in `folder` (each server's working directory is its data)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == program and _works_in(entry, folder):
                found.append(int(entry.name))
    return found


def session_of(leader: int, started_ticks: int) -> list[int]:
    """Pids of the session that this process leads or led: itself and the orphans that it left.

    The number stays taken while any of them lives; a leader with another start time is a stranger, and so are his.
    """
    if start_time(leader) not in (None, started_ticks):
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(entry.parent.name))
    return found


def _works_in(entry: Path, folder: Path) -> bool:
    try:
        return (entry / "cwd").readlink() == folder
    except PermissionError:  # another user's process, and we are root without leave to look: its command line tells
        return os.fsencode(folder) in (entry / "cmdline").read_bytes().split(b"\0")


def end(pids: list[int], first: signal.Signals, *, patience_seconds: float) -> None:
    """Send `first` to all, wait, then SIGKILL what is left; returns when they are gone."""
    known = {pid: start_time(pid) for pid in pids}
    for sign, patience in ((first, patience_seconds), (signal.SIGKILL, 5.0)):
        left = [pid for pid, started in known.items() if started is not None and start_time(pid) == started]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
        until = time.monotonic() + patience
        while any(start_time(pid) == known[pid] for pid in left) and time.monotonic() < until:
            time.sleep(0.02)


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(*wishes: int | None) -> int:
    """The first of the wished ports that is free, else a random one.

    Below 32768, where no outgoing connection can take it while its server is down for a moment.
    """
    for port in wishes:
        if port and is_free(port):
            return port
    while True:
        port = random.randrange(20000, 32000)
        if is_free(port):
            return port


def answers(port: int, *, timeout_seconds: float = 1.0) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_seconds):
            return True
    except OSError:
        return False
