"""How often the log is synced to disk for a node: of chains one after another, and under load.

Counted is what server processes of clients sync (`fsyncs` of the log in `pg_stat_io`). Accepting runs is apart: alone
it is one synced commit a run, under load the runs are accepted and counted while the workers are frozen.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import psycopg2

from bench.runs import one, released, turn
from bench.stand import Stand

ALONE_CHAINS = 30
STATISTICS_SECONDS = 11.0  # idle connections report their counts after 10 s at the latest


def commits(stand: Stand, number: int) -> dict[str, float]:
    """Synced commits a node and a run."""
    url, accepted = stand.servers.owner_url, [0]

    def count_accepted() -> None:
        _report()
        accepted[0] = wal_syncs(url)

    with turn(stand.baton):
        time.sleep(STATISTICS_SECONDS)
        first = wal_syncs(url)
        for _ in range(ALONE_CHAINS):
            one(stand.baton, 8, {})
        time.sleep(STATISTICS_SECONDS)
        second = wal_syncs(url)
        released(stand.baton, stand.chains, 8, count_accepted)
        time.sleep(STATISTICS_SECONDS)
        third = wal_syncs(url)
    return {
        "commits_alone": (second - first - ALONE_CHAINS) / (ALONE_CHAINS * 8),
        "commits_loaded": (third - accepted[0]) / (stand.chains * 8),
        "commits_accepting": (accepted[0] - second) / stand.chains,
        "commits_commit_ms": stand.commit_ms(),
    }


def wal_syncs(owner_url: str) -> int:
    """How often server processes of clients synced the log to disk so far; for a lone client each commit does once."""
    connection = psycopg2.connect(owner_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(fsyncs), 0) FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'"
        )
        row = cursor.fetchone()
    connection.close()
    return int(row[0]) if row else 0


def _report() -> None:
    """Have the connections of this process, which accepted the runs, report their counts now."""
    from settings import settings
    from storage.postgres import hot

    with ExitStack() as lent:
        for _ in range(settings().database_pool_size):
            database = lent.enter_context(hot())
            with database.connection.cursor() as cursor:
                cursor.execute("SELECT pg_stat_force_next_flush()")
