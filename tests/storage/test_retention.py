"""What goes after the retention time, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from settings import Settings
from storage import blobs, retention
from storage.tables import uuid7, uuid7_floor
from tests.storage.conftest import rows

TABLES = ("runs", "segments", "steps", "effects", "events")


@pytest.fixture(autouse=True)
def no_old_runs(owner_db: Connection) -> Iterator[None]:
    """The old runs of a test go with it: the counts of the next one are its own."""
    yield
    for table in ("events", "runs"):
        column = "id" if table == "runs" else "run_id"
        rows(owner_db, f"DELETE FROM {table} WHERE {column} < %s", (str(uuid7_floor(days_ago(1))),))


def days_ago(days: float) -> datetime:
    """A time in the past."""
    return datetime.now(UTC) - timedelta(days=days)


def make_run(
    owner: Connection, tenant: UUID, status: str, *, made: float, finished: float | None, idem_key: str | None = None
) -> UUID:
    """A run made and finished so many days ago, with a row in every table and a blob."""
    run_id = UUID(int=uuid7_floor(days_ago(made)).int + uuid7().int % 2**60)
    ref = blobs.put(tenant, run_id, b"a large output")
    key = str(run_id)
    values = {
        "run": key, "tenant": str(tenant), "status": status, "ref": ref, "idem_key": idem_key,
        "made": days_ago(made), "finished": days_ago(finished) if finished is not None else None,
    }  # fmt: skip
    with owner.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO runs
                (id, tenant_id, chain, chain_version, status, trace_id, input, created_at, finished_at, idem_key)
            VALUES (%(run)s, %(tenant)s, 'probe', '1', %(status)s, 't', '{}', %(made)s, %(finished)s, %(idem_key)s);
            INSERT INTO segments (run_id, no, tenant_id, keys, nodes, queue)
            VALUES (%(run)s, 1, %(tenant)s, '{1}', '{probe.work}', 'agents');
            INSERT INTO steps (run_id, key, tenant_id, node, status, output_ref)
            VALUES (%(run)s, '1', %(tenant)s, 'probe.work', 'succeeded', %(ref)s);
            INSERT INTO effects (key, run_id, tenant_id, step, attempt, name, kind, status, request_hash)
            VALUES (%(run)s, %(run)s, %(tenant)s, '1', 1, 'n', 'idempotent', 'done', 'h');
            INSERT INTO events (run_id, seq, tenant_id, type) VALUES (%(run)s, 1, %(tenant)s, 'run_accepted');
            """,
            values,
        )
    return run_id


def left(owner: Connection, run_id: UUID) -> dict[str, object]:
    """How many rows of a run are left in each table."""
    return {
        table: rows(
            owner, f"SELECT count(*) FROM {table} WHERE {'id' if table == 'runs' else 'run_id'} = %s", (str(run_id),)
        )[0][0]
        for table in TABLES
    }


ALL, NONE = dict.fromkeys(TABLES, 1), dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("status", retention.FINISHED)
def test_a_finished_run_goes_with_all_that_is_its(status: str, tenant: UUID, owner_db: Connection) -> None:
    old = make_run(owner_db, tenant, status, made=40, finished=31)
    young = make_run(owner_db, tenant, status, made=40, finished=29)
    removed = retention.run_once(datetime.now(UTC))
    assert removed.runs == 1 and not removed.more
    assert left(owner_db, old) == NONE and left(owner_db, young) == ALL
    with pytest.raises(blobs.BlobMissing):
        blobs.get(ref_of(tenant, old))
    assert blobs.get(ref_of(tenant, young)) == b"a large output"


def ref_of(tenant: UUID, run_id: UUID) -> str:
    """The reference of a run's one blob."""
    return f"{tenant}/{run_id}/{blobs.hashlib.sha256(b'a large output').hexdigest()}"


@pytest.mark.parametrize("status", ["pending", "running", "paused"])
def test_an_unfinished_run_stays_for_ever(status: str, tenant: UUID, owner_db: Connection) -> None:
    waiting = make_run(owner_db, tenant, status, made=4000, finished=None)
    assert retention.run_once(datetime.now(UTC)).runs == 0
    assert left(owner_db, waiting) == ALL


def test_an_idempotency_key_lives_seven_days(
    tenant: UUID, owner_db: Connection, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a retention time of one day
    short = settings_env.model_copy(update={"retention_days": 1})
    monkeypatch.setattr(retention, "settings", lambda: short)
    replayable = make_run(owner_db, tenant, "completed", made=6, finished=6, idem_key="a")
    forgotten = make_run(owner_db, tenant, "completed", made=8, finished=8, idem_key="b")
    plain = make_run(owner_db, tenant, "completed", made=6, finished=6)
    assert retention.run_once(datetime.now(UTC)).runs == 2
    assert left(owner_db, replayable) == ALL
    assert left(owner_db, forgotten) == left(owner_db, plain) == NONE


def test_a_call_is_bounded_and_says_that_there_is_more(
    tenant: UUID, owner_db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH_RUNS", 2)
    made = [make_run(owner_db, tenant, "completed", made=50 - n, finished=40) for n in range(5)]
    first = retention.run_once(datetime.now(UTC), max_runs=3)
    assert (first.runs, first.more) == (3, True)
    assert [left(owner_db, run_id) == NONE for run_id in made] == [True, True, True, False, False]  # the oldest first
    assert retention.run_once(datetime.now(UTC), max_runs=3) == retention.Removed(2, (), more=False)


def test_a_run_that_somebody_holds_is_left_alone(tenant: UUID, owner_db: Connection, keeper_db: Connection) -> None:
    # Given a resume that has the run's lock
    held = make_run(owner_db, tenant, "failed", made=40, finished=40)
    with keeper_db.cursor() as cursor:
        cursor.execute("BEGIN; SELECT FROM runs WHERE id = %s FOR UPDATE", (str(held),))
        assert retention.run_once(datetime.now(UTC)).runs == 0
        cursor.execute("ROLLBACK")
    assert retention.run_once(datetime.now(UTC)).runs == 1


def test_a_run_whose_blobs_cannot_go_waits_and_holds_up_nobody(
    tenant: UUID, owner_db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = make_run(owner_db, tenant, "completed", made=50, finished=40)
    free = make_run(owner_db, tenant, "completed", made=40, finished=40)
    delete = blobs.delete_run

    def failing(tenant_id: UUID, run_id: UUID) -> None:
        if run_id == stuck:
            raise OSError("the store is away")
        delete(tenant_id, run_id)

    monkeypatch.setattr(retention.blobs, "delete_run", failing)
    assert retention.run_once(datetime.now(UTC)).runs == 1
    assert left(owner_db, stuck) == ALL and left(owner_db, free) == NONE


def test_what_models_were_asked_goes_after_a_time_of_its_own(
    tenant: UUID, owner_db: Connection, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given the call logs of a month, what was spent then, and answers that are stale and fresh
    start = datetime(2021, 5, 1, tzinfo=UTC)
    rows(owner_db, "SELECT baton_make_partition('llm_call_logs', %s::date)", (start,))
    for day in (start, datetime.now(UTC)):
        rows(owner_db, "INSERT INTO model_spend VALUES (%s, %s)", (str(tenant), day.date()))
    for days in (1, -1):
        rows(
            owner_db,
            "INSERT INTO semantic_answers (id, tenant_id, scope, question_hash, embedding, answer, expires_at)"
            " VALUES (%s, %s, 's', %s, %s, '', %s)",
            (str(uuid7()), str(tenant), str(days).encode(), [0.5] * 512, days_ago(days)),
        )
    # When they are kept longer than that, Then only the stale answer goes
    age_days = (datetime.now(UTC) - start).days
    for kept_days, dropped in ((age_days + 40, ()), (age_days - 40, ("llm_call_logs_2021_05",))):
        given = settings_env.model_copy(update={"model_log_days": kept_days})
        monkeypatch.setattr(retention, "settings", lambda given=given: given)
        assert retention.run_once(datetime.now(UTC)).partitions == dropped
        left_days = rows(owner_db, "SELECT count(*) FROM model_spend WHERE tenant_id = %s", (str(tenant),))
        assert left_days == [(1 if dropped else 2,)]
        answers = "SELECT question_hash FROM semantic_answers WHERE tenant_id = %s"
        assert [bytes(found[0]) for found in rows(owner_db, answers, (str(tenant),))] == [b"-1"]  # type: ignore[call-overload]


def test_an_empty_month_goes_and_old_slots_too(tenant: UUID, owner_db: Connection) -> None:
    # Given a month long past, in its own partition, and beats that fired long ago and just now
    start = datetime(2021, 5, 1, tzinfo=UTC)
    rows(owner_db, "SELECT baton_make_partition(%s::date)", (start,))
    age = (datetime.now(UTC) - start).days - 10
    old = make_run(owner_db, tenant, "completed", made=age, finished=age)
    for days in (8, 0):
        rows(owner_db, "INSERT INTO slots VALUES ('retention tests', %s)", (days_ago(days),))
    removed = retention.run_once(datetime.now(UTC))
    assert removed == retention.Removed(1, ("events_2021_05",), more=False)
    assert left(owner_db, old) == NONE
    assert rows(owner_db, "SELECT count(*) FROM slots WHERE schedule = 'retention tests'") == [(1,)]
