"""Months of events and calls: made ahead, filled from the default partition, dropped when nothing of them is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg2.errors import InsufficientPrivilege, NoDataFound
from psycopg2.extensions import connection as Connection
from sqlalchemy.exc import OperationalError

from storage import retention
from storage.tables import uuid7, uuid7_floor
from tests.storage.conftest import rows

PARTITIONS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent IN ('events'::regclass, 'llm_call_logs'::regclass, 'audit_logs'::regclass) ORDER BY 1"""


@pytest.fixture
def far_months(owner_db: Connection) -> Iterator[None]:
    """Tests may make months far ahead; they go again."""
    before = set(rows(owner_db, PARTITIONS))
    yield
    for (name,) in set(rows(owner_db, PARTITIONS)) - before:
        rows(owner_db, f"DROP TABLE {name}")


def add_event(connection: Connection, tenant: UUID, run_id: UUID) -> None:
    """The first event of a run."""
    values = (str(run_id), str(tenant))
    rows(connection, "INSERT INTO events (run_id, seq, tenant_id, type) VALUES (%s, 1, %s, 'run_accepted')", values)


def partition_of(connection: Connection, run_id: UUID) -> object:
    """In which partition a run's events lie."""
    return rows(connection, "SELECT tableoid::regclass::text FROM events WHERE run_id = %s", (str(run_id),))[0][0]


def month(moment: datetime, table: str = "events") -> str:
    """The name of the partition of a time."""
    return f"{table}_{moment:%Y_%m}"


def months_from_now(count: int) -> datetime:
    """The middle of the month so many months ahead."""
    now = datetime.now(UTC)
    year, zero_based = divmod(now.year * 12 + now.month - 1 + count, 12)
    return datetime(year, zero_based + 1, 15, tzinfo=UTC)


def test_the_migration_made_this_month_and_three_more(owner_db: Connection) -> None:
    names = {name for (name,) in rows(owner_db, PARTITIONS)}
    for table in retention.PARTITIONED:
        assert names >= {month(months_from_now(ahead), table) for ahead in range(4)} | {f"{table}_default"}


def test_a_run_of_now_lies_in_this_month(tenant: UUID, app_db: Callable[..., Connection], owner_db: Connection) -> None:
    run_id = uuid7()
    add_event(app_db(tenant), tenant, run_id)
    assert partition_of(owner_db, run_id) == month(datetime.now(UTC))


def test_bounds_are_the_months_to_the_millisecond(tenant: UUID, owner_db: Connection, far_months: None) -> None:
    owner_month = months_from_now(6)
    rows(owner_db, "SELECT baton_make_partition(%s::date)", (owner_month.replace(day=1),))
    start = owner_month.replace(day=1)
    first, last_before = uuid7_floor(start), UUID(int=uuid7_floor(start).int - 1)
    for run_id, where in ((first, month(start)), (last_before, "events_default")):
        add_event(owner_db, tenant, run_id)
        assert partition_of(owner_db, run_id) == where
        rows(owner_db, "DELETE FROM events WHERE run_id = %s", (str(run_id),))


def test_rows_of_a_new_month_move_out_of_the_default_one(
    tenant: UUID, app_db: Callable[..., Connection], owner_db: Connection, far_months: None
) -> None:
    # Given events of a month that nobody made in time
    late = UUID(int=uuid7_floor(months_from_now(5)).int + 7)
    app = app_db(tenant)
    add_event(app, tenant, late)
    assert partition_of(owner_db, late) == "events_default"
    # When the upkeep makes it
    made = retention.make_partitions(5)
    # Then they lie in it, and the application still sees them, through the policies
    assert made == tuple(
        month(months_from_now(ahead), table) for table in ("events", "llm_call_logs", "audit_logs") for ahead in (4, 5)
    )
    assert partition_of(owner_db, late) == month(months_from_now(5))
    assert rows(app, "SELECT count(*) FROM events") == [(1,)]
    with pytest.raises(InsufficientPrivilege):
        rows(app, f"SELECT FROM {month(months_from_now(5))}")
    # And a second call finds nothing to do
    assert retention.make_partitions(5) == ()
    rows(owner_db, "DELETE FROM events WHERE run_id = %s", (str(late),))


def test_a_busy_table_is_left_for_the_next_time(
    tenant: UUID, app_db: Callable[..., Connection], owner_db: Connection, far_months: None
) -> None:
    # Given a transaction that reads all of events and does not end
    app = app_db(tenant)
    with app.cursor() as cursor:
        cursor.execute("BEGIN; SELECT count(*) FROM events")
        with pytest.raises(OperationalError, match="lock timeout"):
            retention.make_partitions(8)
        cursor.execute("ROLLBACK")
    assert len(retention.make_partitions(8)) == 3 * 5


def test_only_the_keeper_may(tenant: UUID, app_db: Callable[..., Connection], keeper_db: Connection) -> None:
    assert rows(keeper_db, "SELECT baton_make_partitions(3)") == [([],)]
    for function in ("baton_make_partition(current_date)", "baton_close_partition('runs')"):
        for role in (keeper_db, app_db(tenant)):
            with pytest.raises(InsufficientPrivilege):
                rows(role, f"SELECT {function}")


def test_a_month_is_dropped_when_it_is_over_and_empty_of_runs(
    tenant: UUID, owner_db: Connection, keeper_db: Connection
) -> None:
    # Given two months long past, one of them with a run that still waits
    empty, lived_in = datetime(2020, 3, 1, tzinfo=UTC), datetime(2020, 4, 1, tzinfo=UTC)
    for start in (empty, lived_in):
        rows(owner_db, "SELECT baton_make_partition(%s::date)", (start,))
        add_event(owner_db, tenant, UUID(int=uuid7_floor(start + timedelta(days=3)).int + 1))
    waiting = UUID(int=uuid7_floor(lived_in + timedelta(days=3)).int + 1)
    columns = "id, tenant_id, chain, chain_version, status, trace_id, input"
    rows(
        owner_db,
        f"INSERT INTO runs ({columns}) VALUES (%s, %s, 'probe', '1', 'paused', 't', '{{}}')",
        (str(waiting), str(tenant)),
    )
    # Then one goes, not before its end
    drop = "SELECT baton_drop_partitions(%s)"
    assert rows(keeper_db, drop, (datetime(2020, 3, 31, 23, 59, tzinfo=UTC),)) == [([],)]
    assert rows(keeper_db, drop, (datetime(2021, 1, 1, tzinfo=UTC),)) == [(["events_2020_03"],)]
    # And the other when its run is gone
    rows(owner_db, "DELETE FROM runs WHERE id = %s", (str(waiting),))
    assert rows(keeper_db, drop, (datetime(2021, 1, 1, tzinfo=UTC),)) == [(["events_2020_04"],)]


def add_call(connection: Connection, tenant: UUID, call_id: UUID) -> None:
    """A call, whose model answered."""
    columns = "call_id, tenant_id, chain, agent_id, operation, provider, backend, model, prompt_version, status"
    rows(
        connection,
        f"INSERT INTO llm_call_logs ({columns}) VALUES (%s, %s, '', '', 'chat', 'vllm', 'b', 'm', '', 'succeeded')",
        (str(call_id), str(tenant)),
    )


def test_calls_move_to_their_month_as_events_do(
    tenant: UUID, app_db: Callable[..., Connection], owner_db: Connection, far_months: None
) -> None:
    # Given a call of a month that nobody made in time
    late = UUID(int=uuid7_floor(months_from_now(5)).int + 7)
    app = app_db(tenant)
    add_call(app, tenant, late)
    where = "SELECT tableoid::regclass::text FROM llm_call_logs WHERE call_id = %s"
    assert rows(owner_db, where, (str(late),)) == [("llm_call_logs_default",)]
    # When the upkeep makes it, Then it lies there, and is seen through the parent only
    retention.make_partitions(5)
    assert rows(owner_db, where, (str(late),)) == [(month(months_from_now(5), "llm_call_logs"),)]
    assert rows(app, "SELECT count(*) FROM llm_call_logs") == [(1,)]
    rows(owner_db, "DELETE FROM llm_call_logs WHERE call_id = %s", (str(late),))


def test_a_month_of_calls_goes_by_its_age_alone(tenant: UUID, owner_db: Connection, keeper_db: Connection) -> None:
    # Given two months of calls long past, and an unfinished run of the first
    first, second = datetime(2020, 6, 1, tzinfo=UTC), datetime(2020, 7, 1, tzinfo=UTC)
    for start in (first, second):
        rows(owner_db, "SELECT baton_make_partition('llm_call_logs', %s::date)", (start,))
        add_call(owner_db, tenant, UUID(int=uuid7_floor(start + timedelta(days=3)).int + 1))
    rows(
        owner_db,
        "INSERT INTO runs (id, tenant_id, chain, chain_version, status, trace_id, input)"
        " VALUES (%s, %s, 'probe', '1', 'paused', 't', '{}')",
        (str(UUID(int=uuid7_floor(first + timedelta(days=3)).int + 1)), str(tenant)),
    )
    # When they are dropped up to a day of the second, Then only the first goes
    drop = "SELECT baton_drop_partitions('llm_call_logs', %s)"
    assert rows(keeper_db, drop, (datetime(2020, 7, 31, 23, 59, tzinfo=UTC),)) == [(["llm_call_logs_2020_06"],)]
    assert rows(keeper_db, drop, (datetime(2020, 8, 1, tzinfo=UTC),)) == [(["llm_call_logs_2020_07"],)]
    rows(owner_db, "DELETE FROM runs WHERE tenant_id = %s", (str(tenant),))


def test_only_tables_with_months_have_partitions(keeper_db: Connection) -> None:
    with pytest.raises(NoDataFound):
        rows(keeper_db, "SELECT baton_make_partitions('runs', 0)")
    assert rows(keeper_db, "SELECT baton_drop_partitions('runs', now())") == [([],)]


def test_functions_cannot_be_led_astray_by_a_search_path(servers: object, keeper_db: Connection) -> None:
    rows(keeper_db, "CREATE TEMP TABLE runs (id uuid); CREATE TEMP TABLE pg_class (oid oid)")
    assert rows(keeper_db, "SELECT baton_drop_partitions('2020-01-01'), baton_make_partitions(0)") == [([], [])]


def test_the_time_zone_of_a_caller_changes_nothing(servers: object, keeper_db: Connection) -> None:
    rows(keeper_db, "SET timezone = 'Pacific/Kiritimati'")
    assert rows(keeper_db, "SELECT baton_make_partitions(3)") == [([],)]
