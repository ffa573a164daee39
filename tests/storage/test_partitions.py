"""The months of events: made ahead, filled from the default partition, dropped when nothing of them is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection
from sqlalchemy.exc import OperationalError

from storage import retention
from storage.tables import uuid7, uuid7_floor
from tests.storage.conftest import rows

PARTITIONS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'events'::regclass ORDER BY 1"""


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


def month(moment: datetime) -> str:
    """The name of the partition of a time."""
    return f"events_{moment:%Y_%m}"


def months_from_now(count: int) -> datetime:
    """The middle of the month so many months ahead."""
    now = datetime.now(UTC)
    year, zero_based = divmod(now.year * 12 + now.month - 1 + count, 12)
    return datetime(year, zero_based + 1, 15, tzinfo=UTC)


def test_the_migration_made_this_month_and_three_more(owner_db: Connection) -> None:
    names = {name for (name,) in rows(owner_db, PARTITIONS)}
    assert names >= {month(months_from_now(ahead)) for ahead in range(4)} | {"events_default"}


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
    assert made == (month(months_from_now(4)), month(months_from_now(5)))
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
    assert len(retention.make_partitions(8)) == 5


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


def test_functions_cannot_be_led_astray_by_a_search_path(servers: object, keeper_db: Connection) -> None:
    rows(keeper_db, "CREATE TEMP TABLE runs (id uuid); CREATE TEMP TABLE pg_class (oid oid)")
    assert rows(keeper_db, "SELECT baton_drop_partitions('2020-01-01'), baton_make_partitions(0)") == [([], [])]


def test_the_time_zone_of_a_caller_changes_nothing(servers: object, keeper_db: Connection) -> None:
    rows(keeper_db, "SET timezone = 'Pacific/Kiritimati'")
    assert rows(keeper_db, "SELECT baton_make_partitions(3)") == [([],)]
