"""The record: written with its change or not at all, in one chain for each tenant, and only ever added to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection

from errors import InvalidInput
from policy import audit_chain
from settings import SettingsError, load
from storage import audit, audit_anchors, retention, tenants
from storage.audit import Entry
from storage.postgres import hot, keeper_session, session
from storage.reads import audit as reads
from storage.reads.audit import AuditRow
from storage.tables import uuid7, uuid7_floor
from tests.storage.conftest import rows

OpenApp = Callable[[UUID | None], Connection]


def write(tenant: UUID, *actions: str, **fields: object) -> None:
    """An entry for each action, in a transaction of its own."""
    for action in actions:
        with session(tenant) as db:
            audit.write(db, Entry("user:1", action, "thing:1", **fields))  # type: ignore[arg-type]


def report(tenant: UUID) -> audit_chain.Report:
    """What a verification finds."""
    with reads.whole_chain(tenant) as (head, stored):
        return audit_chain.verify(tenant, stored, head)


# ----------------------------------------------------------------------------------------------------------- writing


def test_the_entry_has_what_was_said_and_is_the_next_of_its_tenant(tenant: UUID) -> None:
    before = datetime.now(UTC)
    said = {"price": 1, "名": "旧", "nul": "\x00"}
    with session(tenant) as db:
        assert audit.write(db, Entry("key:ab", "product.change", "product:7", said, ["x"], "10.0.0.1", "t" * 32)) == 1
    write(tenant, "a.b")
    (second, first), cursor = reads.page(tenant)
    assert cursor is None and second["seq"] == 2 and second["before"] is None
    told = {name: first[name] for name in ("seq", "actor", "action", "resource", "before", "after", "source")}
    assert told == {
        "seq": 1, "actor": "key:ab", "action": "product.change", "resource": "product:7", "before": said,
        "after": ["x"], "source": "10.0.0.1",
    }  # fmt: skip
    assert before - timedelta(minutes=1) < first["at"] <= second["at"]
    assert second["prev_hash"] == first["hash"] and first["prev_hash"] == ""


def test_an_entry_goes_with_its_change(tenant: UUID) -> None:
    """Given a change that fails after its entry was written, then there is no entry, and the chain has no gap."""
    write(tenant, "kept.before")
    with pytest.raises(RuntimeError), session(tenant) as db:
        audit.write(db, Entry("user:1", "lost.change", "thing:1"))
        raise RuntimeError("the change failed")
    run_id = uuid7()
    with pytest.raises(RuntimeError), hot() as fast, fast.transaction(tenant, run_id):
        audit.write_hot(fast, Entry("user:1", "lost.hot", "thing:1"))
        raise RuntimeError("the change failed")
    with hot() as fast, fast.transaction(tenant, run_id):
        audit.write_hot(fast, Entry("user:1", "kept.hot", "thing:1"))
    assert [item["action"] for item in reads.page(tenant)[0]] == ["kept.hot", "kept.before"]
    assert report(tenant).whole


def test_entries_at_the_same_moment_are_one_chain(tenant: UUID) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: write(tenant, *[f"t.{number}"] * 10), range(8)))
    found = report(tenant)
    assert found.whole and found.entries == 80


def test_the_keeper_says_whose_entry_it_is(tenant: UUID) -> None:
    with keeper_session(audited=tenant) as db:
        audit.write(db, Entry("system:test", "a.b", "thing:1"))
    with pytest.raises(Exception, match="needs the transaction's tenant"), keeper_session() as db:
        audit.write(db, Entry("system:test", "a.b", "thing:1"))
    assert report(tenant).entries == 1


def test_tenants_have_chains_of_their_own(tenant: UUID, app_db: OpenApp) -> None:
    other = tenants.create_tenant(f"other-{uuid7()}")
    write(tenant, "mine.one", "mine.two")
    write(other, "other.one")
    assert [report(one).entries for one in (tenant, other)] == [2, 1]
    assert rows(app_db(other), "SELECT action, seq FROM audit_logs") == [("other.one", 1)]
    assert rows(app_db(None), "SELECT count(*) FROM audit_logs") == [(0,)]


@pytest.mark.parametrize("role", ["app", "keeper"])
def test_no_role_changes_the_record(role: str, tenant: UUID, app_db: OpenApp, keeper_db: Connection) -> None:
    write(tenant, "a.b")
    db = app_db(tenant) if role == "app" else keeper_db
    for statement in (
        "UPDATE audit_logs SET actor = 'nobody'",
        "DELETE FROM audit_logs",
        "TRUNCATE audit_logs",
        "UPDATE audit_heads SET seq = 0",
        "DELETE FROM audit_heads",
        "UPDATE audit_anchors SET seq = 0",
        "DELETE FROM audit_anchors",
        "INSERT INTO audit_logs SELECT * FROM audit_logs",
        "ALTER TABLE audit_logs DISABLE ROW LEVEL SECURITY",
    ):
        with pytest.raises(InsufficientPrivilege):
            rows(db, statement)
    assert report(tenant).whole


# ----------------------------------------------------------------------------------------------------------- reading


def test_pages_are_filtered_and_newest_first(tenant: UUID) -> None:
    write(tenant, "user.create", "user.change", "users.other", "run.cancel")
    write(tenant, "user.change", trace_id="t" * 32)
    first, cursor = reads.page(tenant, action="user.", limit=2)
    assert [(one["action"], one["seq"]) for one in first] == [("user.change", 5), ("user.change", 2)]
    assert [one["seq"] for one in reads.page(tenant, action="user.", limit=2, cursor=cursor)[0]] == [1]
    assert [one["seq"] for one in reads.page(tenant, trace_id="t" * 32)[0]] == [5]
    assert reads.page(tenant, actor="user:2") == ([], None)
    assert len(reads.page(tenant, actor="user:1", resource="thing:1")[0]) == 5
    third = reads.page(tenant)[0][2]["at"]
    assert [one["seq"] for one in reads.page(tenant, since=third)[0]] == [5, 4, 3]
    assert [one["seq"] for one in reads.page(tenant, until=third)[0]] == [2, 1]
    with pytest.raises(InvalidInput):
        reads.page(tenant, cursor="nonsense")


def test_the_chain_is_read_in_batches(tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tenant, *[f"a.{number}" for number in range(7)])
    monkeypatch.setattr(reads, "BATCH", 3)
    assert [row.seq for row in reads.in_order(tenant, 6)] == [1, 2, 3, 4, 5, 6]


# ----------------------------------------------------------------------------------------------------------- anchors


def test_a_day_has_one_anchor_for_each_tenant(tenant: UUID) -> None:
    today = datetime.now(UTC).date()
    write(tenant, "a.one", "a.two")
    audit_anchors.make(today)
    head = reads.head(tenant)
    write(tenant, "a.three")
    audit_anchors.make(today)
    assert audit_anchors.all_of(tenant) == [audit_anchors.Anchor(tenant, today, 2, head.hash)]
    audit_anchors.make(today + timedelta(days=1))
    assert [anchor.seq for anchor in audit_anchors.all_of(tenant)] == [2, 3]


# --------------------------------------------------------------------------------------------------------- retention


def old_entries(owner: Connection, tenant: UUID, *moments: datetime) -> None:
    """Entries of long ago: a chain made here, by the rules of docs/audit.md."""
    hashed = b""
    for seq, moment in enumerate(moments, 1):
        entry_id = UUID(int=uuid7_floor(moment).int + seq)
        row = AuditRow(seq, entry_id, moment, "user:1", "old.one", "a:1", None, '{"a": "名"}', None, None, hashed, b"")
        made = row._replace(hash=audit_chain.hash_of(tenant, row))
        values = (str(tenant), *(str(one) if isinstance(one, UUID) else one for one in made))
        rows(
            owner,
            f"INSERT INTO audit_logs (tenant_id, {', '.join(row._fields)}) VALUES ({', '.join(['%s'] * len(values))})",
            values,
        )
        hashed = made.hash
    rows(
        owner,
        "INSERT INTO audit_heads (tenant_id, seq, hash, at) VALUES (%s, %s, %s, %s)",
        (str(tenant), len(moments), hashed, moments[-1]),
    )


@pytest.fixture
def two_old_months(owner_db: Connection, tenant: UUID) -> None:
    """Five entries: two in March 2020, two in April, one in May, which the tenant goes on from."""
    for month in (3, 4, 5):
        rows(owner_db, "SELECT baton_make_partition('audit_logs', %s::date)", (datetime(2020, month, 1, tzinfo=UTC),))
    days = [(3, 2), (3, 31), (4, 1), (4, 30), (5, 5)]
    old_entries(owner_db, tenant, *(datetime(2020, month, day, 23, 59, tzinfo=UTC) for month, day in days))


def test_months_go_behind_a_cut_that_verification_begins_at(
    two_old_months: None, tenant: UUID, owner_db: Connection
) -> None:
    # Given entries of three old months and of now, in one chain
    write(tenant, "a.now")
    assert report(tenant).whole
    # When the record is kept from the middle of May on, Then March and April go, and what is left is whole
    assert retention._drop_partitions("audit_logs", datetime(2020, 5, 20, tzinfo=UTC)) == (
        "audit_logs_2020_03",
        "audit_logs_2020_04",
    )
    assert reads.head(tenant).cut_seq == 4
    found = report(tenant)
    assert found.whole and found.entries == 3
    # And the policy that took them is on record, once
    told = reads.page(tenant, action="audit.retention")[0]
    assert [(one["actor"], one["resource"]) for one in told] == [("system:retention", "audit:4")]
    assert told[0]["after"] == {"entries": 4, "up_to_seq": 4, "before": "2020-05-01"}
    assert retention._drop_partitions("audit_logs", datetime(2020, 5, 20, tzinfo=UTC)) == ()
    # And a row taken from behind the cut is still found
    rows(owner_db, "DELETE FROM audit_logs WHERE tenant_id = %s AND seq = 5", (str(tenant),))
    assert [(one.kind, one.seq) for one in report(tenant).findings] == [("removed", 5)]
    assert retention._drop_partitions("audit_logs", datetime(2020, 7, 1, tzinfo=UTC)) == ("audit_logs_2020_05",)


def test_nobody_drops_a_month_without_its_cut_or_too_early(
    two_old_months: None, tenant: UUID, owner_db: Connection, keeper_db: Connection, app_db: OpenApp
) -> None:
    drop = "SELECT baton_drop_partitions('audit_logs', %s)"
    assert rows(keeper_db, drop, (datetime(2020, 7, 1, tzinfo=UTC),)) == [([],)]
    for days in (0, 179):
        with pytest.raises(InsufficientPrivilege, match="180 days"):
            rows(keeper_db, "SELECT baton_audit_cut(now() - make_interval(days => %s))", (days,))
    with pytest.raises(InsufficientPrivilege):
        rows(app_db(tenant), "SELECT baton_audit_cut('2020-07-01')")
    rows(keeper_db, "SELECT baton_audit_cut('2020-07-01')")
    assert rows(keeper_db, drop, (datetime(2020, 7, 1, tzinfo=UTC),))[0][0]


def test_the_record_is_kept_for_180_days_at_least(settings_env: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_AUDIT_DAYS", "179")
    with pytest.raises(SettingsError, match="BATON_AUDIT_DAYS"):
        load()


def test_a_clock_that_goes_back_leaves_the_times_in_order(tenant: UUID, owner_db: Connection) -> None:
    write(tenant, "a.one")
    ahead = datetime.now(UTC) + timedelta(hours=1)
    rows(owner_db, "UPDATE audit_heads SET at = %s WHERE tenant_id = %s", (ahead, str(tenant)))
    write(tenant, "a.two")
    assert reads.page(tenant)[0][0]["at"] == ahead
    assert report(tenant).whole


def test_without_a_tenant_nothing_is_written(app_db: OpenApp) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="tenant"):
        rows(app_db(None), "SELECT baton_audit('a', 'b', 'c', NULL, NULL, NULL, NULL)")
