"""Whether the servers answer and have what this code needs. Each look has a connection of its own and may hang.

The caller gives it a thread and a time limit (app/api/health.py): a frozen server answers nothing at all.
"""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg2

from settings import settings
from storage import broker
from storage.tables import Base

_COLUMNS = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""
_seen_whole = False


class NotReady(Exception):
    """What is missing, in words for an operator."""


def look_at_postgres() -> int:
    """The number of workers that are alive. Raises NotReady for an older schema; psycopg2.Error."""
    global _seen_whole
    url = settings().database_keeper_url.replace("postgresql+psycopg2://", "postgresql://")
    connection = psycopg2.connect(url, connect_timeout=2, application_name="baton-health")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if not _seen_whole:
                cursor.execute(_COLUMNS)
                _complain(set(cursor.fetchall()))
                _seen_whole = True
            cursor.execute("SELECT count(*) FROM workers WHERE alive_until > now()")
            row = cursor.fetchone()
            return int(row[0]) if row else 0
    finally:
        connection.close()


def _complain(columns: set[tuple[str, str]]) -> None:
    """Every table and column that this code uses must be there: migrations are at their head, or beyond it."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if (table.name, column.name) not in columns:
                raise NotReady(f"{table.name}.{column.name} is missing: run `python manage.py migrate`")


def look_at_redis() -> datetime:
    """When it answered. Raises what redis-py raises."""
    broker.client().ping()
    return datetime.now(UTC)
