"""How the server finds rows: the hot path by primary key, whatever the tables looked like when plans were made."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from psycopg2.extensions import connection as Connection

from storage.statements import statement
from tests.storage.conftest import rows

HOT = ("lock_run", "claim", "start", "commit", "close_step", "situation", "intend_effect")
PARTIAL = re.compile(r"using (\w+)")


def indexes_used(connection: Connection, name: str) -> set[str]:
    """The indexes in the generic plan of a named statement; its arguments are all null."""
    prepare = statement(name)
    types = prepare[prepare.index("(") + 1 : prepare.index(") AS\n")]
    rows(connection, prepare)
    plan = rows(connection, f"EXPLAIN EXECUTE {name}({', '.join(['NULL'] * len(types.split(',')))})")
    return set(PARTIAL.findall("\n".join(str(line) for (line,) in plan)))


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
    assert used and used <= {"runs_pkey", "segments_pkey", "steps_pkey", "effects_pkey"}
