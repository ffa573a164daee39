"""Migrations: under owners of all kinds, twice, at once, and with passwords that change."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from storage.migrate import MigrationError, migrate
from storage.migrations.access import GRANTS
from tests.conftest import Servers
from tests.storage.conftest import Database, connect_to, rows

TABLES = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"


def test_the_sessions_owner_is_no_superuser(owner_db: Connection) -> None:
    # Every other test runs on a schema that such an owner made.
    assert rows(owner_db, "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(False,)]


def test_an_owner_who_may_make_roles_makes_everything(fresh_database: Callable[[str], Database]) -> None:
    database = fresh_database("CREATEROLE")
    migrate(*database.urls)
    with connect_to(database.owner_url) as owner:
        assert {table for (table,) in rows(owner, TABLES)} >= set(GRANTS)
    with connect_to(database.app_url) as app, connect_to(database.keeper_url) as keeper:
        assert rows(app, "SELECT count(*) FROM runs") == [(0,)]
        assert rows(keeper, "SELECT count(*) FROM workers") == [(0,)]
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(app, "SELECT FROM workers")


def test_an_owner_who_may_not_is_told_the_sql_to_run(
    fresh_database: Callable[[str], Database], superuser_db: Connection
) -> None:
    # Given an owner who can make no roles
    database = fresh_database("")
    # When the SQL of each refusal is run by an administrator
    for url in (database.app_url, database.keeper_url):
        with pytest.raises(MigrationError) as refused:
            migrate(*database.urls)
        told = re.search(r"^    (CREATE ROLE .*;)$", str(refused.value), re.MULTILINE)
        assert told and (urlsplit(url).username or "?") in told[1]
        assert ":pw@" not in str(refused.value)
        rows(superuser_db, told[1].replace("<the password in its URL>", "pw"))
    # Then the owner can do the rest
    migrate(*database.urls)
    with connect_to(database.app_url) as app:
        assert rows(app, "SELECT count(*) FROM events") == [(0,)]


def test_an_owner_without_a_schema_is_told_the_sql_to_run(
    servers: Servers, fresh_database: Callable[[str], Database], superuser_db: Connection
) -> None:
    # Given a role that owns nothing, in a database of somebody else's
    other, database = fresh_database("CREATEROLE"), fresh_database("")
    place = f"127.0.0.1:{urlsplit(servers.owner_url).port}/{database.name}"
    role = urlsplit(other.owner_url).username or "?"
    urls = [f"postgresql://{urlsplit(url).username}:pw@{place}" for url in other.urls]
    with pytest.raises(MigrationError) as refused:
        migrate(*urls)
    told = re.search(r"^    (GRANT .*;)$", str(refused.value), re.MULTILINE)
    assert told and role in told[1]
    with connect_to(superuser_url(superuser_db, servers, database.name)) as administrator:
        rows(administrator, told[1])
    migrate(*urls)


def superuser_url(superuser_db: Connection, servers: Servers, database: str) -> str:
    """The superuser's URL of another database."""
    dsn = superuser_db.info
    return f"postgresql://{dsn.user}:{dsn.password}@127.0.0.1:{urlsplit(servers.owner_url).port}/{database}"


def test_twice_changes_nothing(servers: Servers, owner_db: Connection) -> None:
    seen = "SELECT oid, relname, xmin FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    policies = "SELECT oid, xmin FROM pg_policy ORDER BY 1"
    before = rows(owner_db, seen), rows(owner_db, policies)
    migrate(servers.owner_url, servers.app_url, servers.keeper_url)
    assert (rows(owner_db, seen), rows(owner_db, policies)) == before


def test_what_a_restored_backup_lacks_is_made_again(fresh_database: Callable[[str], Database]) -> None:
    # Given a database that went to a server where the roles were not known: its tables are there, its rules are not
    database = fresh_database("CREATEROLE")
    migrate(*database.urls)
    app, keeper = (urlsplit(url).username for url in (database.app_url, database.keeper_url))
    with connect_to(database.owner_url) as owner:
        rows(owner, f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{app}", "{keeper}"; DROP POLICY app ON runs')
    # When it is brought up there
    migrate(*database.urls)
    # Then they are there
    with connect_to(database.owner_url) as owner:
        assert rows(owner, "SELECT count(*) FROM pg_policies WHERE tablename = 'runs'") == [(3,)]
        rows(owner, "DROP POLICY app ON runs")
    migrate(*database.urls)
    with connect_to(database.app_url) as app_connection:
        assert rows(app_connection, "SELECT count(*) FROM runs") == [(0,)]
    with connect_to(database.owner_url) as owner:
        assert rows(owner, "SELECT count(*) FROM pg_policies WHERE tablename = 'runs'") == [(3,)]


def test_several_at_once_are_one(fresh_database: Callable[[str], Database]) -> None:
    database = fresh_database("CREATEROLE")
    migrate_at_once([database.urls] * 3)
    with connect_to(database.owner_url) as owner:
        assert rows(owner, "SELECT version_num FROM alembic_version") == [("0007",)]


def test_databases_of_one_server_may_migrate_at_once(fresh_database: Callable[[str], Database]) -> None:
    # Given two databases whose applications share the roles
    first, second = fresh_database("CREATEROLE SUPERUSER"), fresh_database("CREATEROLE SUPERUSER")
    shared = [url.rpartition("/")[0] for url in (first.app_url, first.keeper_url)]
    migrate_at_once(
        [(database.owner_url, *(f"{url}/{database.name}" for url in shared)) for database in (first, second)]
    )
    # When both migrate in the same moment, Then both stand at the newest version
    for database in (first, second):
        with connect_to(database.owner_url) as owner:
            assert rows(owner, "SELECT version_num FROM alembic_version") == [("0007",)]


def migrate_at_once(calls: list[tuple[str, ...]]) -> None:
    """Run `migrate` in processes of their own, as several hosts do: alembic keeps its context in globals."""
    program = "import sys; from storage.migrate import migrate; sys.stdin.read(1); migrate(*sys.argv[1:])"
    started = [
        subprocess.Popen([sys.executable, "-c", program, *urls], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for urls in calls
    ]
    for process in started:
        assert process.stdin
        process.stdin.write(b"!")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()


def test_a_changed_password_becomes_the_roles(fresh_database: Callable[[str], Database]) -> None:
    database = fresh_database("CREATEROLE")
    migrate(*database.urls)
    rotated = database.app_url.replace(":pw@", ":n%3Aw'%20%25s@")
    migrate(database.owner_url, rotated, database.keeper_url)
    connect_to(rotated).close()
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        connect_to(database.app_url)


def test_a_role_above_the_policies_is_refused(
    fresh_database: Callable[[str], Database], superuser_db: Connection
) -> None:
    database = fresh_database("CREATEROLE")
    role = sql.Identifier(urlsplit(database.app_url).username or "?")
    with superuser_db.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN BYPASSRLS PASSWORD 'pw'").format(role))
    with pytest.raises(MigrationError, match="BYPASSRLS"):
        migrate(*database.urls)


def test_three_roles_are_three(servers: Servers) -> None:
    with pytest.raises(MigrationError, match="three different roles"):
        migrate(servers.owner_url, servers.owner_url, servers.keeper_url)
    with pytest.raises(MigrationError, match="name its role"):
        migrate("postgresql://127.0.0.1/x", servers.app_url, servers.keeper_url)
