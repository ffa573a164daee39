"""One process that `up` keeps running: how it is started, when it is started again, how it is stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 4.0
LIVED_WELL_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Service:
    """argv: without a shell, so that the pid is the process's own; port: where it listens, for `ps`;
    stop_signal: asks it to end, and after patience_seconds SIGKILL does; orphan_signal: what the kernel sends when
    `up` itself is killed; become: called in the child before exec; before: called before every start.
    """

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    port: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience_seconds: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL
    become: Callable[[], None] | None = None
    before: Callable[[], None] | None = None
    once: bool = False
    child: subprocess.Popen[bytes] | None = None
    exit_code: int | None = None
    starts: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    _quick_failures: int = field(default=0)

    def start(self) -> None:
        """Start the process in a group of its own, its output appended to its log."""
        if self.before:
            self.before()
        up = os.getpid()
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                self.argv,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: self._in_child(up),
            )
        self.exit_code = None
        self.starts += 1
        self.started_at = time.monotonic()

    def _in_child(self, up: int) -> None:
        if self.become:
            self.become()
        if _LIBC:  # after becoming another user, which clears it
            _LIBC.prctl(_PR_SET_PDEATHSIG, self.orphan_signal)
            if os.getppid() != up:
                os._exit(1)

    def ended(self) -> bool:
        """Whether the process has ended since the last call; then its orphans are ended too and its restart is due.

        A process that was killed or stopped is back at once; one that fails soon after its start waits longer each
        time.
        """
        if self.child is None:
            return False
        if os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)  # before the pid is given back, so it cannot be another's
        self.exit_code = self.child.wait()
        self.child = None
        now = time.monotonic()
        failed = self.exit_code > 0 and now - self.started_at < LIVED_WELL_SECONDS
        self._quick_failures = self._quick_failures + 1 if failed else 0
        self.due_at = now + min(FIRST_WAIT_SECONDS * 2.0**self._quick_failures, LONGEST_WAIT_SECONDS)
        return True

    def ask_to_stop(self) -> None:
        """Send the stop signal, and wake the process if it is frozen."""
        self._send(self.stop_signal)
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """End the process and what it started now."""
        self._send(signal.SIGKILL)

    def _send(self, sign: signal.Signals) -> None:
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, sign)
