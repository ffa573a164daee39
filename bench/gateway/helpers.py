"""Processes of the benchmark that are told what to do in JSON lines, and can be killed or frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.asking import ROOT, hear, tell


@dataclass(frozen=True)
class Helper:
    """A process that answers each line with one; `hello` is the line that it wrote by itself."""

    process: subprocess.Popen[str]
    hello: Any

    def ask(self, **what: Any) -> Any:
        """Tell it to do something; its answer."""
        tell(self.process, what)
        return hear(self.process)

    def die(self) -> None:
        """Its end without a goodbye: nobody listens at its port from now on."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """It stops where it stands: connections stay open and nothing comes."""
        self.process.send_signal(signal.SIGSTOP)


@contextmanager
def started(module: str, *arguments: str, python: str | Path = sys.executable, **environment: str) -> Iterator[Helper]:
    """A process with this module that has said its first line; it ends with the block."""
    command = [str(python), "-m", module, *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Helper(process, hear(process))
    finally:
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not sent to the killed
                assert pipe
                pipe.close()
