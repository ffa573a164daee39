"""How the worker processes of each contestant are started."""

from __future__ import annotations

import re
import subprocess
import sys

from bench.asking import ROOT

PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS_LOCK = ROOT / "bench" / "peers" / "requirements.lock"
PEERS = {"dbos": "bench.peers.dbos_chain", "langgraph": "bench.peers.langgraph_chain"}
PEER_NODES = 8


def bare(processes: int, threads: int, task_events: bool, log_level: str) -> list[list[str]]:
    """Bare Celery's."""
    more = ["-Q", "bare", "--loglevel", log_level, *(["-E"] if task_events else [])]
    return [_celery("bench.bare", f"bare-{number}", threads, more) for number in range(1, processes + 1)]


def baton(processes: int, threads: int) -> list[list[str]]:
    """Baton's, as in the Procfile; events and log level come from its settings."""
    more = ["-Q", "agents,tools,maintenance"]
    return [_celery("tasks", f"baton-{number}", threads, more) for number in range(1, processes + 1)]


def peer(name: str, database_url: str, processes: int, threads: int) -> list[list[str]]:
    """A peer's; they are told in JSON lines how many chains to run."""
    return [[str(PEERS_PYTHON), "-m", PEERS[name], database_url, str(threads), str(PEER_NODES)]] * processes


def install_peers() -> bool:
    """Make the peers' environment at first use; False where that cannot be done: then they are left out."""
    command = [sys.executable, str(ROOT / "operate" / "install.py"), "--peers"]
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0


def peers_versions() -> list[str]:
    """`name version` of the peers' packages, as their lock file says."""
    asked = ("dbos", "langgraph", "langgraph-checkpoint-postgres")
    found = dict(re.findall(r"^([\w-]+)==(\S+)", PEERS_LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    return [f"{name} {found[name]}" for name in asked]


def _celery(app: str, name: str, threads: int, more: list[str]) -> list[str]:
    pool = ["--pool", "threads", "--concurrency", str(threads), "--without-gossip", "--without-mingle"]
    return [sys.executable, "-m", "celery", "-A", app, "worker", *pool, *more, "-n", f"{name}@%h"]
