"""How the server finds rows: the hot path by primary key, whatever the tables looked like when plans were made."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from psycopg2.extensions import connection as Connection

from storage.statements import statement
from tests.storage.conftest import rows

HOT = (
    "lock_run",
    "lock_runs",
    "claim",
    "start",
    "commit",
    "commit_many",
    "was_committed",
    "close_step",
    "situation",
    "events",
    "set_status",
    "results",
    "run",
    "intend_effect",
)
INDEX = re.compile(r"(?:using|Bitmap Index Scan on) (\w+)")


def indexes_used(connection: Connection, name: str) -> set[str]:
    """The indexes in the generic plan of a named statement; its arguments are all null."""
    prepare = statement(name)
    types = prepare[prepare.index("(") + 1 : prepare.index(") AS\n")]
    rows(connection, prepare)
    plan = rows(connection, f"EXPLAIN EXECUTE {name}({', '.join(['NULL'] * len(types.split(',')))})")
    return set(INDEX.findall("\n".join(str(line) for (line,) in plan)))


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_goes_by_the_primary_key(
    name: str, app_db: Callable[..., Connection], owner_db: Connection, tenant: object
) -> None:
    # Given statistics of an idle database: nothing is open, nothing runs, the sweep's indexes are empty
    rows(owner_db, "ANALYZE runs, segments, steps")
    app = app_db(tenant)
    rows(app, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    rows(app, "SET enable_hashjoin = off; SET enable_mergejoin = off")
    # Then the plan that is kept for the worker's life does not lean on these
    used = indexes_used(app, name)
    assert used and used <= {"runs_pkey", "segments_pkey", "steps_pkey", "effects_pkey", "effects_of_run"}


def test_the_list_of_runs_asks_for_its_index(app_db: Callable[..., Connection], tenant: object) -> None:
    # Given the condition that storage/reads/runs.py writes, Then the tenant's index gives the newest runs
    app = app_db(tenant)
    rows(app, "SET enable_seqscan = off; SET enable_sort = off")
    newest = "SELECT id FROM runs WHERE created_at > '-infinity' ORDER BY created_at DESC, id DESC LIMIT 10"
    assert "runs_newest" in str(rows(app, f"EXPLAIN {newest}"))
