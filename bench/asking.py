"""Processes that are told what to do in JSON lines and answer each with one: the peers, and the clients of the web."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 600.0


def tell(process: subprocess.Popen[str], what: object) -> None:
    """Send a line."""
    assert process.stdin
    process.stdin.write(json.dumps(what) + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> Any:
    """The next line of its answer. Raises TimeoutError or RuntimeError where none comes."""
    assert process.stdout
    ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
    if not ready:
        raise TimeoutError(f"{process.args!r} did not answer within {PATIENCE_SECONDS:.0f} s")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended; see its log")
    return json.loads(line)


@contextmanager
def helper(module: str, *arguments: str) -> Iterator[Callable[..., Any]]:
    """A process of ours with this module, as a function that asks it; it ends with the block."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(**what: Any) -> Any:
        tell(process, what)
        return hear(process)

    try:
        yield ask
    finally:
        process.kill()
        process.wait(10)
