"""Real servers for the tests: one embedded Postgres and one embedded Redis a session, a fresh tenant a test.

Nothing is truncated between tests: a test works as a tenant of its own and sees no other's rows. The servers' addresses
stand in the environment too, so that processes which a test starts find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest
import redis
from psycopg2.extensions import connection as Connection

import settings as settings_module
from settings import Settings
from storage import migrate, postgres, tenants
from storage.embedded import postgres as embedded_postgres
from storage.embedded import redis as embedded_redis
from storage.tables import uuid7

NOT_OURS = ("BATON_", "OPENAI_", "ANTHROPIC_", "OLLAMA_")  # what the machine's user has set is not for the tests
SECRET = "a secret of the tests, long enough"


@dataclass(frozen=True)
class Servers:
    """Where the session's servers answer, and the data dir that they live in."""

    data_dir: Path
    owner_url: str
    app_url: str
    keeper_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """What a process needs to find the servers; the same as `manage.py up` gives its processes."""
        return {
            "DATABASE_URL": self.owner_url,
            "BATON_DATABASE_APP_URL": self.app_url,
            "BATON_DATABASE_KEEPER_URL": self.keeper_url,
            "REDIS_URL": self.redis_url,
            "BATON_DATA_DIR": str(self.data_dir),
            "BATON_SECRET": SECRET,
        }


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers, started and migrated once a session."""
    data_dir = tmp_path_factory.mktemp("baton data")  # a path with a space, as a user's may be
    with ExitStack() as stack:
        stack.callback(embedded_postgres.stop, data_dir)
        database = embedded_postgres.start(data_dir)
        stack.callback(embedded_redis.stop, data_dir)
        broker = embedded_redis.start(data_dir)
        migrate.migrate(database.owner_url, database.app_url, database.keeper_url)
        yield Servers(data_dir, database.owner_url, database.app_url, database.keeper_url, broker.url)


@pytest.fixture(scope="session")
def settings_env(servers: Servers) -> Iterator[Settings]:
    """The settings of this process, pointing at the servers; the environment is exported for child processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(NOT_OURS)]:
            patch.delenv(name)
        for name, value in servers.environment().items():
            patch.setenv(name, value)
        postgres.engine.cache_clear()
        yield settings_module.reload()
        for role in ("app", "keeper"):
            postgres.engine(role).dispose()
        postgres.engine.cache_clear()
    settings_module.settings.cache_clear()


@pytest.fixture
def redis_client(servers: Servers) -> Iterator[redis.Redis]:
    """A client of the session's Redis."""
    client = redis.Redis.from_url(servers.redis_url)
    yield client
    client.close()


@pytest.fixture
def tenant(settings_env: Settings) -> UUID:
    """A fresh tenant, whose rows only this test makes and sees."""
    return tenants.create_tenant(f"tenant-{uuid7()}")


@pytest.fixture
def api_key(tenant: UUID) -> str:
    """An API key of `tenant`, in plain text."""
    return tenants.create_api_key(tenant, "tests")


@pytest.fixture
def connect(servers: Servers) -> Iterator[Callable[[str], Connection]]:
    """Open a raw connection to a URL, in autocommit; closed after the test."""
    with ExitStack() as stack:

        def open_connection(url: str) -> Connection:
            opened = psycopg2.connect(url)
            stack.callback(opened.close)
            opened.autocommit = True
            return opened

        yield open_connection


@pytest.fixture
def owner_db(servers: Servers, settings_env: Settings, connect: Callable[[str], Connection]) -> Connection:
    """A connection as the owner, who is no superuser: it may change the schema, and sees every tenant's rows."""
    return connect(servers.owner_url)


@pytest.fixture
def keeper_db(servers: Servers, settings_env: Settings, connect: Callable[[str], Connection]) -> Connection:
    """A connection as the keeper's role."""
    return connect(servers.keeper_url)


@pytest.fixture
def app_db(
    servers: Servers, settings_env: Settings, connect: Callable[[str], Connection]
) -> Callable[[UUID | None], Connection]:
    """Open a connection as the application's role for one tenant, or for none."""

    def open_for(tenant_id: UUID | None) -> Connection:
        opened = connect(servers.app_url)
        if tenant_id is not None:
            with opened.cursor() as cursor:
                cursor.execute("SELECT set_config('baton.tenant', %s, false)", (str(tenant_id),))
        return opened

    return open_for
