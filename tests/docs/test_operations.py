"""docs/operations.md for real: the SQL that makes the roles, a backup, and what is restored from it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg2
import pytest

from storage.embedded import postgres
from storage.migrate import migrate
from tests.conftest import Servers
from tests.docs.pages import ROOT, block_after

PAGE = ROOT / "docs" / "operations.md"


@pytest.fixture
def administrator(servers: Servers) -> str:
    """The URL of the server's superuser, without a database."""
    kept = json.loads((servers.data_dir / "postgres" / "server.json").read_text())
    port = urlsplit(servers.owner_url).port
    return f"postgresql://{postgres.SUPERUSER}:{kept['passwords'][postgres.SUPERUSER]}@127.0.0.1:{port}"


@pytest.fixture
def names(administrator: str) -> Iterator[dict[str, str]]:
    """The page's names, each with a name of this test's own; all of them go after."""
    tag = secrets.token_hex(4)
    made = {name: f"{name}_{tag}" for name in ("baton_keeper", "baton_app", "baton")}
    yield made
    for database in (made["baton"], made["baton"] + "_new"):
        sql(administrator, "postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    for role in made.values():
        sql(administrator, "postgres", f"DROP ROLE IF EXISTS {role}")


def sql(administrator: str, database: str, *statements: str) -> None:
    """Run each as a transaction of its own, through psql."""
    words = [word for statement in statements for word in ("-c", statement)]
    program("psql", "-v", "ON_ERROR_STOP=1", *words, f"{administrator}/{database}")


def program(name: str, *args: str) -> None:
    """Run a program of PostgreSQL."""
    done = subprocess.run([postgres.binary(name), *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def count_runs(url: str) -> int:
    """How many runs this role sees."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM runs")
        row = cursor.fetchone()
    connection.close()
    assert row
    return int(row[0])


def test_roles_backup_and_restore(
    administrator: str, names: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Given the page's SQL, run by an administrator (its passwords too)
    said = block_after(PAGE, "The two roles", "sql")
    script = tmp_path_factory.mktemp("sql") / "roles.sql"
    script.write_text(re.sub(r"\bbaton(?:_app|_keeper)?\b", lambda found: names[found[0]], said))
    program("psql", "-v", "ON_ERROR_STOP=1", "-f", str(script), f"{administrator}/postgres")
    place = administrator.rpartition("@")[2]
    passwords = {"baton": "owner-password", "baton_app": "app-password", "baton_keeper": "keeper-password"}

    def urls(database: str) -> list[str]:
        return [f"postgresql://{names[role]}:{password}@{place}/{database}" for role, password in passwords.items()]

    # When the owner, who may make no roles, migrates, then all is there
    old = urls(names["baton"])
    migrate(*old)
    insert = (
        "INSERT INTO tenants (id, name, created_at) VALUES (gen_random_uuid(), 'one', now());"
        "INSERT INTO runs (id, tenant_id, chain, chain_version, status, trace_id, input, created_at)"
        " SELECT gen_random_uuid(), id, 'probe', '1', 'completed', 't', '{}', now() FROM tenants"
    )
    program("psql", "-v", "ON_ERROR_STOP=1", "-c", insert, old[2])
    assert [count_runs(url) for url in old] == [1, 0, 1]  # the application sees no row without a tenant

    # And when it is backed up and restored into an empty database as the page says
    dump = str(script.with_name("baton.dump"))
    program("pg_dump", "--enable-row-security", "--format=custom", f"--file={dump}", old[0])
    fresh = names["baton"] + "_new"
    sql(administrator, "postgres", f"CREATE DATABASE {fresh} OWNER {names['baton']} TEMPLATE template0")
    sql(administrator, fresh, "CREATE EXTENSION vector", "CREATE EXTENSION pg_trgm")
    new = urls(fresh)
    program("pg_restore", "--no-owner", "--no-comments", "--exit-on-error", f"--dbname={new[0]}", dump)
    migrate(*new)
    # Then the rows are there, for those who may see them
    assert [count_runs(url) for url in new] == [1, 0, 1]


def test_the_page_shows_these_commands() -> None:
    said = PAGE.read_text(encoding="utf-8")
    assert "pg_dump --enable-row-security --format=custom" in said
    assert "pg_restore --no-owner --no-comments --exit-on-error" in said
