"""The checker of the fault runs finds what is wrong: one that never complains would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from chaos.check import Report, check
from chaos.effect_server import EffectServer
from chaos.load import Tally, Wanted
from storage.tables import uuid7

Connect = Callable[[UUID | None], Connection]


class Book:
    """A completed run of one step with one effect, as the engine would have written it."""

    def __init__(self, db: Connection, tenant: UUID) -> None:
        self.db, self.tenant, self.run = db, tenant, str(uuid7())
        self.tally = Tally({self.run: Wanted("k", {"steps": 1, "effect": "at_most_once"})})
        self.effects = EffectServer()
        self.effects.bodies["key"] = [{"run_id": self.run, "step": "1"}]
        self.do(
            "INSERT INTO runs (id, tenant_id, chain, chain_version, status, trace_id, input, seq, done, created_at) "
            "VALUES (%(run)s, %(tenant)s, 'probe', '1', 'completed', 't', '{}', 4, 1, now())"
        )
        for seq, type in enumerate(("run_accepted", "step_started", "step_succeeded", "run_completed"), 1):
            self.event(seq, type, "1" if type.startswith("step") else None)
        self.do(
            "INSERT INTO steps (run_id, key, tenant_id, node, segment, attempt, status, version) "
            "VALUES (%(run)s, '1', %(tenant)s, 'probe.work', 1, 1, 'succeeded', 1)"
        )
        self.do(
            "INSERT INTO effects (key, run_id, tenant_id, step, attempt, name, kind, status, request_hash, created_at) "
            "VALUES ('key' || %(run)s, %(run)s, %(tenant)s, '1', 1, 'probe', 'at_most_once', 'done', 'h', now())"
        )
        self.effects.bodies[f"key{self.run}"] = self.effects.bodies.pop("key")

    def event(self, seq: int, type: str, step: str | None, attempt: int = 1) -> None:
        self.do(
            "INSERT INTO events (run_id, seq, tenant_id, type, step, at, data) "
            "VALUES (%(run)s, %(seq)s, %(tenant)s, %(type)s, %(step)s, now(), "
            "json_build_object('attempt', %(attempt)s))",
            seq=seq, type=type, step=step, attempt=attempt,
        )  # fmt: skip

    def do(self, sql: str, **values: Any) -> None:
        with self.db.cursor() as cursor:
            cursor.execute(sql, {"run": self.run, "tenant": str(self.tenant), **values})

    def check(self) -> Report:
        return check(self.db, self.tally, self.effects, [], {"agents": 0})

    def found(self) -> set[str]:
        return {name for name, (count, _) in self.check().violations.items() if count}


@pytest.fixture
def book(tenant: UUID, app_db: Connect) -> Book:
    """Seen as one tenant, so that the rows of other tests are not there."""
    return Book(app_db(tenant), tenant)


def test_a_run_in_order_is_no_violation(book: Book) -> None:
    """Given a run as it should be, when it is checked, then nothing is found."""
    assert book.check().count == 0, book.check().text()


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("UPDATE runs SET status = 'running'", "runs without a final state"),
        ("UPDATE runs SET status = 'failed'", "runs that did not complete"),
        ("UPDATE runs SET seq = 5", "runs with a gap in their events"),
        ("UPDATE runs SET done = 2", "versions that are not 1..n"),
        ("UPDATE steps SET attempt = 2", "writes with a stale token"),
        ("UPDATE steps SET key = '2'", "runs whose steps are not those of their chain"),
        ("UPDATE steps SET status = 'retrying'", "results without a row, or rows without their result"),
        ("UPDATE effects SET status = 'intended'", "effects without a result"),
        ("UPDATE effects SET key = key || 'x'", "posts under a key that the ledger does not have"),
        ("UPDATE effects SET kind = 'idempotent', key = key || 'x'", "idempotent effects that never arrived"),
    ],
)
def test_a_changed_row_is_found(book: Book, sql: str, name: str) -> None:
    """Given that run, when one row is not as it should be, then the checker names it."""
    book.do(f"{sql} WHERE run_id = %(run)s" if "UPDATE runs" not in sql else f"{sql} WHERE id = %(run)s")
    assert name in book.found()


def test_what_came_too_often_is_found(book: Book) -> None:
    """Given that run, when a result, a final event or an effect is there twice, then the checker names each."""
    book.event(5, "step_succeeded", "1")
    book.event(6, "run_completed", None)
    book.do("UPDATE runs SET seq = 6 WHERE id = %(run)s")
    key = f"key{book.run}"
    book.effects.bodies[key] *= 2
    book.effects.bodies["another key"] = book.effects.bodies[key][:1]
    assert book.found() >= {
        "steps with more than one committed result",
        "runs without exactly one final event, the last one",
        "at-most-once effects that happened more than once",
        "effects under more than one key",
    }


def test_what_is_left_is_found(book: Book) -> None:
    """Given that run, when a segment is open, a message waits and an accepted run is missing, each is named."""
    book.do(
        "INSERT INTO segments (run_id, no, tenant_id, keys, nodes, queue, opened_at) "
        "VALUES (%(run)s, 1, %(tenant)s, '{1}', '{probe.work}', 'agents', now())"
    )
    book.tally.accepted[str(uuid7())] = Wanted("lost", {"steps": 1})
    report = check(book.db, book.tally, book.effects, [], {"agents": 3})
    found = {name for name, (count, _) in report.violations.items() if count}
    assert {"segments left open or leased", "messages left in a queue", "accepted runs that are not there"} <= found
