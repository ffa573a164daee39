"""Whoever changes, removes, reorders or adds a row of the record by hand is found, with the seq that they touched."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from policy import audit_chain
from policy.audit_chain import Report
from storage import audit
from storage.audit import Entry
from storage.postgres import session
from storage.reads import audit as reads
from storage.reads.audit import AuditRow
from storage.tables import uuid7
from tests.storage.conftest import rows

LAST = 7


@pytest.fixture
def chain(tenant: UUID) -> UUID:
    """A tenant with seven entries."""
    for number in range(1, LAST + 1):
        with session(tenant) as db:
            said = {"price": number, "name": "云朵枕"}
            audit.write(db, Entry(f"user:{number}", "product.change", "product:1", said, None, "10.0.0.1", "ab"))
    assert verified(tenant).whole and verified(tenant).entries == LAST
    return tenant


def verified(tenant: UUID, anchors: dict[int, list[bytes]] | None = None) -> Report:
    with reads.whole_chain(tenant) as (head, stored):
        return audit_chain.verify(tenant, stored, head, anchors)


def found(tenant: UUID) -> list[tuple[str, int]]:
    return [(one.kind, one.seq) for one in verified(tenant).findings]


def as_owner(owner: Connection, tenant: UUID, statement: str) -> None:
    """Run a statement as the owner of the tables, on this tenant's rows."""
    rows(owner, statement.replace("$tenant", f"'{tenant}'"))


@pytest.mark.parametrize("seq", [1, 4, LAST])
@pytest.mark.parametrize(
    "change",
    [
        "actor = 'user:nobody'",
        "action = 'product.create'",
        "resource = 'product:2'",
        "at = at + interval '1 microsecond'",
        """before = '{"name": "云朵枕", "price": 9}'""",
        """before = (before::text || ' ')::json""",
        "before = NULL",
        "after = '{}'",
        "source = NULL",
        "trace_id = 'abc'",
        "id = gen_random_uuid()",
        "prev_hash = '\\x00'",
        "hash = '\\x00'",
        "actor = actor || '7:', action = substr(action, 3)",
    ],
)
def test_a_changed_row_is_found(change: str, seq: int, chain: UUID, owner_db: Connection) -> None:
    as_owner(owner_db, chain, f"UPDATE audit_logs SET {change} WHERE tenant_id = $tenant AND seq = {seq}")
    told = {("changed", seq), ("head", LAST)} if change.startswith("hash") and seq == LAST else {("changed", seq)}
    assert set(found(chain)) == told


@pytest.mark.parametrize("seq", [1, 4, LAST])
def test_a_removed_row_is_found(seq: int, chain: UUID, owner_db: Connection) -> None:
    as_owner(owner_db, chain, f"DELETE FROM audit_logs WHERE tenant_id = $tenant AND seq = {seq}")
    assert found(chain) == [("removed", seq)]


@pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 6), (4, LAST), (1, LAST)])
def test_removed_rows_are_found_as_one_gap(first: int, last: int, chain: UUID, owner_db: Connection) -> None:
    as_owner(owner_db, chain, f"DELETE FROM audit_logs WHERE tenant_id = $tenant AND seq BETWEEN {first} AND {last}")
    (gap,) = verified(chain).findings
    assert (gap.kind, gap.seq, gap.last_seq) == ("removed", first, last)


def test_a_tail_that_was_removed_with_its_head_is_found_by_an_anchor(chain: UUID, owner_db: Connection) -> None:
    anchor = {LAST: [reads.head(chain).hash]}
    as_owner(owner_db, chain, "DELETE FROM audit_logs WHERE tenant_id = $tenant AND seq > 5")
    as_owner(
        owner_db,
        chain,
        "UPDATE audit_heads h SET seq = 5, hash = l.hash FROM audit_logs l"
        " WHERE l.tenant_id = h.tenant_id AND l.seq = 5 AND h.tenant_id = $tenant",
    )
    assert found(chain) == []  # the database alone cannot show it
    assert [(one.kind, one.seq) for one in verified(chain, anchor).findings] == [("anchor", LAST)]


def test_reordered_rows_are_found_with_the_places_that_they_had(chain: UUID, owner_db: Connection) -> None:
    as_owner(owner_db, chain, "UPDATE audit_logs SET seq = 9 - seq WHERE tenant_id = $tenant AND seq BETWEEN 3 AND 6")
    told = {(one.kind, one.seq, one.message) for one in verified(chain).findings}
    assert told == {("reordered", seq, f"was recorded as {9 - seq}") for seq in range(3, 7)}


COPIED = "actor, action, resource, before, after, source, trace_id, prev_hash, hash"


@pytest.mark.parametrize(("where", "seq"), [("seq", 4), ("seq + 1000", 1004)])
def test_a_copied_row_is_found(where: str, seq: int, chain: UUID, owner_db: Connection) -> None:
    as_owner(
        owner_db,
        chain,
        f"INSERT INTO audit_logs (id, tenant_id, seq, at, {COPIED})"
        f" SELECT gen_random_uuid(), tenant_id, {where}, at, {COPIED} FROM audit_logs"
        " WHERE tenant_id = $tenant AND seq = 4",
    )
    assert found(chain) == [("added", seq)]


def test_a_row_that_was_made_to_fit_behind_the_head_is_found(chain: UUID, owner_db: Connection) -> None:
    """Given an entry that was added by hand with the right hashes, then it stands behind the head; with the head, the
    chain is whole, and only an anchor of before could tell."""
    head = reads.head(chain)
    with reads.whole_chain(chain) as (_, stored):
        last = list(stored)[-1]
    row = last._replace(seq=LAST + 1, id=uuid7(), actor="user:forged", prev_hash=head.hash)
    insert(owner_db, chain, row._replace(hash=audit_chain.hash_of(chain, row)))
    assert found(chain) == [("added", LAST + 1)]


def test_a_chain_that_was_made_anew_is_found_by_an_exported_anchor(chain: UUID, owner_db: Connection) -> None:
    """Given the owner who changes an old entry and every hash after it, the head too, then the database fits itself."""
    anchors = {LAST: [reads.head(chain).hash]}
    with reads.whole_chain(chain) as (_, stored):
        forged = list(stored)
    as_owner(owner_db, chain, "DELETE FROM audit_logs WHERE tenant_id = $tenant")
    hashed = b""
    for old in forged:
        row = old._replace(prev_hash=hashed, actor="user:nobody" if old.seq == 2 else old.actor)
        hashed = audit_chain.hash_of(chain, row)
        insert(owner_db, chain, row._replace(hash=hashed))
    as_owner(owner_db, chain, f"UPDATE audit_heads SET hash = '\\x{hashed.hex()}' WHERE tenant_id = $tenant")
    assert verified(chain).whole
    assert [(one.kind, one.seq) for one in verified(chain, anchors).findings] == [("anchor", LAST)]


def test_one_row_made_anew_does_not_fit_the_next(chain: UUID, owner_db: Connection) -> None:
    with reads.whole_chain(chain) as (_, stored):
        old = list(stored)[3]
    row = old._replace(actor="user:nobody")
    as_owner(owner_db, chain, "DELETE FROM audit_logs WHERE tenant_id = $tenant AND seq = 4")
    insert(owner_db, chain, row._replace(hash=audit_chain.hash_of(chain, row)))
    assert found(chain) == [("changed", 5)]


def test_a_head_that_was_changed_is_found(chain: UUID, owner_db: Connection) -> None:
    as_owner(owner_db, chain, "UPDATE audit_heads SET hash = '\\x00' WHERE tenant_id = $tenant")
    assert found(chain) == [("head", LAST)]
    as_owner(owner_db, chain, "DELETE FROM audit_heads WHERE tenant_id = $tenant")
    assert {kind for kind, _ in found(chain)} == {"added"}


def test_a_cut_that_nobody_made_is_found(chain: UUID, owner_db: Connection) -> None:
    """Given an owner who removes the first entries and pretends that retention did, then an anchor tells."""
    third = {3: [row.hash for row in reads.in_order(chain, 3)][2:]}
    as_owner(owner_db, chain, "DELETE FROM audit_logs WHERE tenant_id = $tenant AND seq <= 3")
    as_owner(owner_db, chain, "UPDATE audit_heads SET cut_seq = 3, cut_hash = '\\x00' WHERE tenant_id = $tenant")
    assert [(one.kind, one.seq) for one in verified(chain, third).findings] == [("anchor", 3), ("changed", 4)]


def test_ten_thousand_rows_are_verified_in_a_stream(tenant: UUID, app_db: Callable[..., Connection]) -> None:
    db = app_db(tenant)
    for _ in range(10):
        written = "SELECT baton_audit('user:1', 'a.b', 'thing:1', NULL, to_json(repeat('x', 2000))::text, NULL, NULL)"
        rows(db, f"{written} FROM generate_series(1, 1000)")
    tracemalloc.start()
    report = verified(tenant)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.whole, report.entries) == (True, 10_000)
    assert peak < 10 * 1024 * 1024, "20 MB of entries were held at once"


def insert(owner: Connection, tenant: UUID, row: AuditRow) -> None:
    """Write a row as the owner, whom nothing refuses."""
    values = [str(one) if isinstance(one, UUID) else one for one in row]
    columns = ", ".join(("tenant_id", *row._fields))
    rows(
        owner,
        f"INSERT INTO audit_logs ({columns}) VALUES ({', '.join(['%s'] * (len(values) + 1))})",
        (str(tenant), *values),
    )
