"""Servers of the benchmark's own, in a folder of its own: one Postgres with fsync on, two Redis.

`start` also sets this process's environment, so that Baton's settings name these servers. Import nothing of Baton that
reads settings before it ran.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from storage.embedded import postgres, redis


@dataclass(frozen=True)
class Servers:
    """Where the servers answer and which processes they are."""

    folder: Path
    owner_url: str
    keeper_url: str
    redis_url: str
    bare_redis_url: str
    postgres_pid: int
    redis_pid: int
    bare_redis_pid: int


def start(folder: Path, *, task_events: bool, log_level: str) -> Servers:
    """Start everything and migrate. folder: an empty one."""
    bare_folder = folder / "bare"
    bare_folder.mkdir(parents=True)
    database, ours, theirs = postgres.start(folder), redis.start(folder), redis.start(bare_folder)
    os.environ.update(
        DATABASE_URL=database.owner_url,
        BATON_DATABASE_APP_URL=database.app_url,
        BATON_DATABASE_KEEPER_URL=database.keeper_url,
        REDIS_URL=ours.url,
        BATON_DATA_DIR=str(folder),
        BATON_SECRET="only for the benchmark's own servers",
        BATON_TASK_EVENTS="true" if task_events else "false",
        BATON_LOG_LEVEL=log_level,
        BENCH_BARE_BROKER=theirs.url,
        BENCH_BARE_RESULTS=theirs.url.removesuffix("/0") + "/1",
    )
    from storage.migrate import migrate

    migrate(database.owner_url, database.app_url, database.keeper_url)
    return Servers(
        folder, database.owner_url, database.keeper_url, ours.url, theirs.url, database.pid, ours.pid, theirs.pid
    )


def database_of(servers: Servers, peer: str) -> str:
    """Make a peer's database, on the same server; its URL."""
    owner = urlsplit(servers.owner_url)
    passwords = json.loads((servers.folder / "postgres" / "server.json").read_text())["passwords"]
    superuser = f"{postgres.SUPERUSER}:{passwords[postgres.SUPERUSER]}"
    connection = psycopg2.connect(f"postgresql://{superuser}@{owner.hostname}:{owner.port}/postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE bench_{peer} OWNER {owner.username}")
    connection.close()
    return owner._replace(path=f"/bench_{peer}").geturl()


def stop(servers: Servers) -> None:
    """Stop all of them; the folder is the caller's to remove."""
    redis.stop(servers.folder)
    redis.stop(servers.folder / "bare")
    postgres.stop(servers.folder)
