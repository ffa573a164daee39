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
    "record",
    "results",
    "run",
    "intend_effect",
)
OF_MODELS = ("open_call", "close_call", "refusal", "spent")
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


@pytest.mark.parametrize("name", OF_MODELS)
def test_a_call_goes_by_the_primary_key(
    name: str, app_db: Callable[..., Connection], owner_db: Connection, tenant: object
) -> None:
    rows(owner_db, "ANALYZE llm_call_logs, model_spend, model_policies")
    app = app_db(tenant)
    rows(app, "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    rows(app, "SET enable_hashjoin = off; SET enable_mergejoin = off")
    # Then no index by tenant: the one of open calls is by the call's id too (a partition names them after its columns)
    used = indexes_used(app, name)
    assert used and all(re.fullmatch(r"model_\w+_pkey|llm_call_logs_\w+_(pkey|call_id_idx)", index) for index in used)


def test_the_usage_of_a_tenant_asks_for_its_index(app_db: Callable[..., Connection], tenant: object) -> None:
    app = app_db(tenant)
    rows(app, "SET enable_seqscan = off")
    usage = "SELECT sum(tokens_in) FROM llm_call_logs WHERE created_at > '-infinity' AND call_id >= gen_random_uuid()"
    assert "tenant_id_call_id_idx" in str(rows(app, f"EXPLAIN {usage}"))


def test_the_list_of_runs_asks_for_its_index(app_db: Callable[..., Connection], tenant: object) -> None:
    # Given the condition that storage/reads/runs.py writes, Then the tenant's index gives the newest runs
    app = app_db(tenant)
    rows(app, "SET enable_seqscan = off; SET enable_sort = off")
    newest = "SELECT id FROM runs WHERE created_at > '-infinity' ORDER BY created_at DESC, id DESC LIMIT 10"
    assert "runs_newest" in str(rows(app, f"EXPLAIN {newest}"))
