"""What an instance keeps in its data dir: ports, secrets, the servers' addresses, and which processes run.

lock            held by the `up` that runs here        processes.json  name, pid, start time and port of each process
kept.json       ports and passwords that stay          env             addresses for commands typed by hand
api_key         the first key of the default tenant    logs/           one file a process
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from storage.embedded import processes


class InstanceError(Exception):
    """The data dir cannot be used for this; the message says why."""


class Process(TypedDict):
    """One process as `ps` shows it; `port` is None where it listens on none."""

    name: str
    pid: int
    port: int | None


class Instance:
    """The data dir of one instance. `folder` is absolute."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.expanduser().absolute()
        self._lock: int | None = None
        self._marks: list[socket.socket] = []

    def lock(self) -> None:
        """Make the folder and hold it until this process ends. Raises InstanceError where another `up` holds it."""
        self.make()
        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InstanceError(f"another `manage.py up` runs in {self.folder}: name another --data-dir") from None

    def make(self) -> None:
        """Make the folder, closed to other users: it holds tenants' data. (Root's Postgres runs as another user, who
        must be able to pass through.)
        """
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
            self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for name in ("logs", "blobs"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)

    def read(self, name: str) -> Any:
        """The JSON of a file of the data dir, {} where it is missing or half-written."""
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return {}

    def write(self, name: str, text: str) -> None:
        """Write a file that only its owner may read, at once or not at all."""
        fresh = self.folder / f"{name}.new"
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self.folder / name)

    def keep(self, name: str, value: Any) -> Any:
        """Remember a value for the next start, and return it."""
        kept = self.read("kept.json")
        if kept.get(name) != value:
            self.write("kept.json", json.dumps({**kept, name: value}, indent=1))
        return value

    def kept_secret(self, name: str) -> str:
        """A random password of this instance, made at its first use."""
        return str(self.read("kept.json").get(name) or self.keep(name, secrets.token_urlsafe(24)))

    def kept_port(self, name: str, *, named: int | None, usual: int) -> int:
        """The port a server gets: the named one, else that of last time, the usual one or a random one, if free.

        Raises InstanceError where the named port is taken.
        """
        if named and not self._take(named):
            raise InstanceError(f"port {named} for {name} is taken by another process")
        wishes = (self.read("kept.json").get(f"{name}_port"), usual)
        port = named or next((wish for wish in wishes if wish and self._take(wish)), None) or processes.free_port()
        return int(self.keep(f"{name}_port", port))

    def _take(self, port: int) -> bool:
        """Whether the port is free, and chosen by no other instance that is starting now (a mark tells, on Linux)."""
        mark = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":
                mark.bind(f"\0baton-port-{port}")
        except OSError:
            mark.close()
            return False
        self._marks.append(mark)
        return processes.is_free(port)

    def write_env(self, values: Mapping[str, str]) -> None:
        """Leave the addresses for commands typed by hand, in a form that dotenv and systemd both read."""
        quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
        self.write("env", "".join(f"{name}='{value}'\n" for name, value in quoted.items()))

    def record(self, running: list[tuple[str, int, int | None]]) -> None:
        """Note which processes run: (name, pid, port) each, with the start time that tells a pid from its successor."""
        rows = [
            {"name": name, "pid": pid, "port": port, "started_ticks": processes.start_time(pid)}
            for name, pid, port in running
        ]
        self.write("processes.json", json.dumps(rows, indent=1))

    def left_over(self) -> list[int]:
        """Pids of an earlier life: the recorded processes but the servers, and whatever those have left behind."""
        rows = [row for row in self.read("processes.json") or [] if row["name"] not in ("postgres", "redis")]
        return [pid for row in rows for pid in processes.session_of(row["pid"], row["started_ticks"] or 0)]

    def running(self) -> list[Process]:
        """The processes that run now, by the data dir and /proc alone: no server is asked."""
        return [
            Process(name=row["name"], pid=row["pid"], port=row["port"])
            for row in self.read("processes.json") or []
            if row["started_ticks"] is not None and processes.start_time(row["pid"]) == row["started_ticks"]
        ]
