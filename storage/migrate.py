"""Brings a database to the schema of this version: roles, extensions, migrations, grants. `manage.py migrate` and `up`.

Safe to run by several hosts at once (the second waits, then finds nothing to do) and again at every start. The owner
of the database need not be a superuser: what it may not do, this page says as the SQL that an administrator runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
from alembic import command
from alembic.config import Config
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from storage import semantic_cache
from storage.postgres import driver_url

log = logging.getLogger(__name__)

OLDEST_SERVER = 15
MIGRATION_LOCK = 0x6261746F6E  # "baton"; any number that nobody else takes
EXTENSIONS = ("vector", "pg_trgm")

INSUFFICIENT_PRIVILEGE = "42501"
# another database of the same server makes the same role at this moment
ROLE_RACES = ("42710", "23505", "XX000")


class MigrationError(Exception):
    """The database cannot be brought to this version's schema."""


def migrate(owner_url: str, app_url: str, keeper_url: str) -> None:
    """Make the two roles, the extensions, the tables and the grants; does nothing where all is there.

    The URLs are `postgresql://user:password@host:port/database`. The user names of the last two are the names of the
    application's and the keeper's role; their passwords become the roles' where the owner may set them.
    Raises MigrationError with the SQL to run when the owner may not do what is missing.
    """
    app, keeper = _role_of(app_url), _role_of(keeper_url)
    if len({_role_of(owner_url), app, keeper}) != 3:
        raise MigrationError("the owner, the application and the keeper must be three different roles")
    with _locked(owner_url) as connection:
        _refuse_old_server(connection)
        for role, url in ((app, app_url), (keeper, keeper_url)):
            _ensure_role(connection, role, url)
        for extension in EXTENSIONS:
            _ensure_extension(connection, extension)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.attributes.update(connection=connection, app_role=app, keeper_role=keeper)
        try:
            with connection.begin():
                command.upgrade(config, "head")
        except DBAPIError as error:
            if _sqlstate(error) != INSUFFICIENT_PRIVILEGE:
                raise
            owner, database = _role_of(owner_url), urlsplit(owner_url).path.lstrip("/")
            raise MigrationError(
                f"{error.orig}The owner may not make tables here. Let an administrator run in database {database}:\n"
                f'    GRANT CREATE, USAGE ON SCHEMA public TO "{owner}" WITH GRANT OPTION;'
            ) from error
        semantic_cache.ensure_index(connection)


@contextmanager
def _locked(owner_url: str) -> Iterator[Connection]:
    """The owner's connection while it holds the migration lock of this database; it waits for another migration."""
    engine = create_engine(driver_url(owner_url), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            # a session lock: it outlives the transactions in between and ends with the connection
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": MIGRATION_LOCK})
            connection.commit()
            yield connection
    finally:
        engine.dispose()


def _refuse_old_server(connection: Connection) -> None:
    version = int(connection.scalar(text("SELECT current_setting('server_version_num')::int")) or 0) // 10000
    connection.commit()
    if version < OLDEST_SERVER:
        raise MigrationError(f"PostgreSQL {version} is too old: {OLDEST_SERVER} or newer is needed")


def _ensure_role(connection: Connection, role: str, url: str) -> None:
    """Make a missing role, set a password that the server refuses, refuse a role that stands above the policies."""
    for _ in range(3):
        row = connection.execute(
            text("SELECT rolsuper OR rolbypassrls AS above, rolcanlogin FROM pg_roles WHERE rolname = :role"),
            {"role": role},
        ).one_or_none()
        connection.commit()
        if row is None:
            if not _run_role_statement(connection, "CREATE ROLE {role} LOGIN PASSWORD {password}", role, url):
                continue  # made by someone else meanwhile: look again
            return
        if row.above:
            raise MigrationError(f'role "{role}" is a superuser or has BYPASSRLS: tenants would see each other\'s rows')
        if row.rolcanlogin and _may_log_in(url):
            return
        if _run_role_statement(connection, "ALTER ROLE {role} LOGIN PASSWORD {password}", role, url):
            return
    raise MigrationError(f'role "{role}" could not be made: another migration of this server is changing it')


def _run_role_statement(connection: Connection, statement: str, role: str, url: str) -> bool:
    """Run CREATE or ALTER ROLE with the URL's password, hashed here so that no log shows it. False: lost a race."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    password = unquote(urlsplit(url).password or "")
    raw = connection.connection.driver_connection
    secret = encrypt_password(password, role, scope=raw, algorithm="scram-sha-256") if password else None
    literal = f"'{secret}'" if secret else "NULL"
    try:
        with connection.begin():
            connection.exec_driver_sql(statement.format(role=quoted, password=literal))
    except DBAPIError as error:
        if _sqlstate(error) in ROLE_RACES:
            return False
        if _sqlstate(error) != INSUFFICIENT_PRIVILEGE:
            raise
        to_run = statement.format(role=f'"{role}"', password="'<the password in its URL>'")
        raise MigrationError(
            f'role "{role}" is missing or refuses its password, and the owner may not change that. '
            f"Let an administrator run:\n    {to_run};"
        ) from error
    log.info("role %s: made, or given its password", role)
    return True


def _may_log_in(url: str) -> bool:
    """Whether the server lets this URL's role in. Being unreachable is not a refusal."""
    _, _, rest = url.partition("://")  # libpq knows no name of a driver in the scheme
    try:
        psycopg2.connect(f"postgresql://{rest}", connect_timeout=10).close()
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error) or "no password supplied" in str(error):
            return False
        raise
    return True


def _ensure_extension(connection: Connection, name: str) -> None:
    """Create an extension where the server offers it and the owner may; nothing of the engine depends on it."""
    wanted = text(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = :name AND installed_version IS NULL)"
    )
    missing = connection.scalar(wanted, {"name": name})
    connection.commit()
    if not missing:
        return
    try:
        with connection.begin():
            connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {name}")
    except DBAPIError as error:
        if _sqlstate(error) != INSUFFICIENT_PRIVILEGE:
            raise
        log.warning("extension %s is offered, but the owner may not create it", name)


def _role_of(url: str) -> str:
    """The role that a URL names. Raises MigrationError where it names none."""
    name = urlsplit(url).username
    if not name:
        raise MigrationError("each database URL must name its role: postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE")
    return unquote(name)


def _sqlstate(error: DBAPIError) -> str | None:
    """The five characters by which PostgreSQL names an error."""
    return getattr(error.orig, "pgcode", None)
