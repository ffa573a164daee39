"""Reads the Procfile, the one list of processes, into commands that run without a shell."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"celery", "gunicorn"}  # run as `python -m`: their scripts break when the folder is moved


def lines(path: Path = ROOT / "Procfile") -> dict[str, str]:
    """The processes by name, in the order of the file, each with its command line."""
    found = {}
    for line in path.read_text().splitlines():
        name, separator, command = line.partition(":")
        if separator and not line.startswith("#"):
            found[name.strip()] = command.strip()
    return found


def argv(command: str, values: Mapping[str, str]) -> list[str]:
    """The command as words, `$NAME` replaced (a value with spaces stays one word). KeyError: a name has no value."""
    words = [Template(word).substitute(values) for word in shlex.split(command)]
    return [sys.executable, "-m", *words] if words[0] in MODULES else words


def instances(name: str, workers: int) -> list[str]:
    """The names of the processes that one line stands for: `worker` for worker-1..N, any other line for itself."""
    return [f"worker-{number}" for number in range(1, workers + 1)] if name == "worker" else [name]
