"""`manage.py psql` and `redis-cli`: shells on the servers in use, with the credentials filled in."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from settings import SettingsError, settings
from storage.embedded import postgres


def _url(name: str, value: str) -> str:
    if not value:
        raise SettingsError(f"{name} is not set, and no instance has run in {settings().data_dir}")
    return value


def psql(args: list[str]) -> None:
    """Become psql. The password travels in the environment, where `ps` does not show it."""
    url = urlsplit(_url("DATABASE_URL", settings().database_url))
    program = postgres.binary("psql")
    if not Path(program).exists():
        program = shutil.which("psql") or "psql"
    environment = {**os.environ, "PGPASSWORD": unquote(url.password or ""), "PGCONNECT_TIMEOUT": "10"}
    bare = url._replace(scheme="postgresql", netloc=f"{url.username}@{url.netloc.rpartition('@')[2]}").geturl()
    sys.stdout.flush()
    os.execvpe(program, [program, bare, *args], environment)


def redis_cli(args: list[str]) -> int:
    """Run one command, or one a line from standard input; answers as redis-cli prints them. Exit code 1: an error."""
    import redis

    client = redis.Redis.from_url(
        _url("REDIS_URL", settings().redis_url), decode_responses=True, socket_connect_timeout=5, socket_timeout=60
    )
    if args:
        return _one(client, args)
    worst = 0
    while True:
        try:
            line = input(f"{urlsplit(settings().redis_url).port}> " if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return worst
        if line.strip() in ("quit", "exit"):
            return worst
        if line.strip():
            worst = max(worst, _one(client, shlex.split(line)))


def _one(client: Any, words: list[str]) -> int:
    import redis

    try:
        # without redis-py's own reading of answers: show what the server said
        client.response_callbacks.clear()
        answer = client.execute_command(*words)
    except redis.RedisError as error:
        print(f"(error) {error}")
        return 1
    _print(answer)
    return 0


def _print(answer: Any) -> None:
    if isinstance(answer, (list, tuple)):
        for row in answer:
            _print(row)
    elif isinstance(answer, dict):
        for name, value in answer.items():
            print(f"{name}\n{value}")
    else:
        print("" if answer is None else "OK" if answer is True else answer)
