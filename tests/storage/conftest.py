"""Databases of a test's own, beside the session's: for migrations under other owners and passwords."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from storage.embedded import postgres as embedded_postgres
from tests.conftest import Servers


@dataclass(frozen=True)
class Database:
    """A fresh database: its owner's URL, and URLs of two roles that nobody made yet."""

    name: str
    owner_url: str
    app_url: str
    keeper_url: str

    @property
    def urls(self) -> tuple[str, str, str]:
        """The three arguments of `migrate`."""
        return self.owner_url, self.app_url, self.keeper_url


@pytest.fixture
def superuser_db(servers: Servers, connect: Callable[[str], Connection]) -> Connection:
    """A connection as the server's superuser, whom Baton itself never needs."""
    kept = json.loads((servers.data_dir / "postgres" / "server.json").read_text())
    place = urlsplit(servers.owner_url)
    password = kept["passwords"][embedded_postgres.SUPERUSER]
    return connect(f"postgresql://{embedded_postgres.SUPERUSER}:{password}@127.0.0.1:{place.port}/postgres")


@pytest.fixture
def fresh_database(servers: Servers, superuser_db: Connection) -> Iterator[Callable[[str], Database]]:
    """Make a database whose owner has the given role attributes ("" or "CREATEROLE"); it and its roles go after."""
    with ExitStack() as stack:

        def make(owner_attributes: str) -> Database:
            tag = secrets.token_hex(4)
            name, owner, app, keeper = (f"{kind}-{tag}" for kind in ("db", "owner", "app", "keeper"))
            with superuser_db.cursor() as cursor:
                cursor.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw' " + owner_attributes).format(sql.Identifier(owner))
                )
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, owner))))
            stack.callback(_drop, superuser_db, name, (app, keeper, owner))
            place = f"127.0.0.1:{urlsplit(servers.owner_url).port}/{name}"
            return Database(name, *(f"postgresql://{role}:pw@{place}" for role in (owner, app, keeper)))

        yield make


def _drop(superuser: Connection, database: str, roles: tuple[str, ...]) -> None:
    with superuser.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in roles:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
            if cursor.fetchone() is not None:
                cursor.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def rows(connection: Connection, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """All rows of a query, or nothing for a statement that returns none."""
    with connection.cursor() as cursor:
        cursor.execute(query, values or None)
        return cursor.fetchall() if cursor.description else []


def connect_to(url: str) -> Connection:
    """A connection in autocommit that the caller closes."""
    opened = psycopg2.connect(url)
    opened.autocommit = True
    return opened
