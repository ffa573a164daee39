"""A tenant with a limit on concurrent runs: who waits, in which order they start, and that nobody holds up another."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from chains import erasure
from chains.advance import advance, move_admitted
from chains.answer import answer
from chains.cancel import cancel
from chains.fork import fork
from chains.resume import resume
from chains.submit import SubmitRequest, submit
from errors import TooManyWaiting
from policy import plans, tenant_limits
from settings import reload
from storage import tenants
from storage.audit import Entry
from storage.tables import uuid7
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers

Json = Any
Limit = Callable[..., Runs]


@pytest.fixture
def nobody_works(workers: Workers) -> None:
    """No worker: what has started stays as it is."""
    workers.stop_all()


@pytest.fixture
def limit(runs: Runs) -> Iterator[Limit]:
    """Give the test's tenant (or a new one) limits; its runs.

    What a test leaves waiting is ended: other tests' slots are counted from the same rows.
    """
    made: list[Runs] = []

    def give(tenant: UUID | None = None, weight: int = 1, **limits: Json) -> Runs:
        mine = runs if tenant is None else replace(runs, tenant=tenant)
        said = json.dumps(limits)
        runs.rows(
            "UPDATE tenants SET plan = 'starter', limits = %s::json, weight = %s WHERE id = %s RETURNING id",
            said, weight, mine.tenant,
        )  # fmt: skip
        tenant_limits.forget()
        made.append(mine)
        return mine

    yield give
    for one in made:
        runs.rows(
            "UPDATE runs SET status = 'cancelled' WHERE tenant_id = %s"
            " AND status IN ('pending', 'running', 'paused') RETURNING id",
            one.tenant,
        )
        runs.rows("DELETE FROM segments WHERE tenant_id = %s RETURNING run_id", one.tenant)


@pytest.fixture
def slots(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Set the number of slots of the whole installation."""

    def give(number: int) -> None:
        monkeypatch.setenv("BATON_CONCURRENT_RUNS", str(number))
        reload()

    yield give
    monkeypatch.undo()
    reload()


def another() -> UUID:
    """A tenant beside the test's own."""
    return tenants.create_tenant(f"other-{uuid7()}")


def recorded(runs: Runs, count: int = 1, **request: Any) -> list[UUID]:
    """Runs that are recorded, whose slots nobody has asked for yet."""
    asked = SubmitRequest("probe", {"steps": 1}, **request)
    return [submit(runs.tenant, asked).run_id for _ in range(count)]


def standing(runs: Runs, status: str) -> int:
    """How many of the tenant's runs have this status."""
    found = runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s AND status = %s", runs.tenant, status)
    return int(found[0][0])


def test_runs_over_the_limit_wait(nobody_works: None, limit: Limit) -> None:
    """Given a tenant with two slots, when five runs come, then two run, three are pending, and none is lost."""
    mine = limit(max_concurrent=2)
    recorded(mine, 5)
    move_admitted()
    assert (standing(mine, "running"), standing(mine, "pending")) == (2, 3)
    move_admitted()
    assert (standing(mine, "running"), standing(mine, "pending")) == (2, 3)


def test_a_run_that_ends_makes_room(worker: WorkerProcess, limit: Limit) -> None:
    """Given more runs than slots, when they are worked off, then never more than the limit ran at the same time."""
    mine = limit(max_concurrent=2)
    made = [mine.submit({"steps": 2, "sleep_ms": 20}) for _ in range(6)]
    for run_id in made:
        mine.wait(run_id, seconds=30)
        mine.check(run_id)
    spans = mine.rows(
        "SELECT (SELECT count(*) FROM runs o WHERE o.tenant_id = r.tenant_id"
        " AND o.started_at <= r.started_at AND o.finished_at > r.started_at) FROM runs r WHERE tenant_id = %s",
        mine.tenant,
    )
    assert max(row[0] for row in spans) <= 2


def test_many_at_once_never_get_one_too_many(nobody_works: None, limit: Limit) -> None:
    """Given forty requests at the same moment, when slots are given out meanwhile, then exactly three run."""
    mine = limit(max_concurrent=3)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: mine.submit({"steps": 1}), range(40)))
    move_admitted()
    assert (standing(mine, "running"), standing(mine, "pending")) == (3, 37)


def test_inside_a_tenant_priority_comes_first_then_age(nobody_works: None, limit: Limit) -> None:
    mine = limit(max_concurrent=3)
    old, *_ = recorded(mine, 2)
    urgent = recorded(mine, 2, priority=9)
    move_admitted()
    running = mine.rows("SELECT id FROM runs WHERE tenant_id = %s AND status = 'running'", mine.tenant)
    assert {UUID(str(row[0])) for row in running} == {old, *urgent}


def test_tenants_share_by_their_weight(nobody_works: None, limit: Limit, slots: Callable[[int], None]) -> None:
    """Given nine slots and two tenants of weight 1 and 2 with more than enough runs, then they get three and six."""
    slots(9)
    light, heavy = limit(max_concurrent=50), limit(another(), weight=2, max_concurrent=50)
    recorded(light, 20)
    recorded(heavy, 20)
    move_admitted()
    assert (standing(light, "running"), standing(heavy, "running")) == (3, 6)


def test_nobody_waits_for_anothers_runs_to_end(nobody_works: None, limit: Limit, slots: Callable[[int], None]) -> None:
    """Given a tenant that has every slot and a thousand runs waiting, when another's run comes, then it starts."""
    slots(4)
    noisy, quiet = limit(max_concurrent=100, max_waiting=10_000), limit(another(), max_concurrent=100)
    noisy.rows(
        "INSERT INTO runs (id, tenant_id, chain, chain_version, trace_id, input, facts, limited, admitted)"
        " SELECT gen_random_uuid(), %s, 'probe', '1', 't', '{}', %s, true, false FROM generate_series(1, 1000)"
        " RETURNING id",
        noisy.tenant, json.dumps({"steps": 1, "sleep_ms": 0, "fan_out": 0}),
    )  # fmt: skip
    move_admitted()
    assert standing(noisy, "running") == 4
    (first,) = recorded(quiet)
    move_admitted()
    assert quiet.status(first) == "running"
    assert standing(noisy, "running") == 4


def test_a_run_waits_for_its_session_without_holding_a_slot(nobody_works: None, limit: Limit) -> None:
    """Given two slots and three runs of one session, when another session's run comes, then it gets the free slot."""
    mine = limit(max_concurrent=2)
    first, second, third = recorded(mine, 3, session_id="s", on_busy="queue")
    (other,) = recorded(mine, session_id="t")
    move_admitted()
    assert [mine.status(one) for one in (first, second, third, other)] == ["running", "pending", "pending", "running"]


def test_a_run_that_waits_for_a_person_holds_no_slot(worker: WorkerProcess, limit: Limit) -> None:
    """Given one slot and a run that is paused in it, when another comes, it runs; the first goes on later."""
    mine = limit(max_concurrent=1)
    asking = mine.submit({}, "approve")
    mine.wait(asking, "paused")
    other = mine.submit({"steps": 1})
    mine.wait(other)
    assert mine.status(asking) == "paused"
    step = next(key for key, one in mine.steps(asking).items() if one["status"] == "waiting")
    answer(mine.tenant, asking, {"ok": True}, step)
    assert mine.wait(asking) == "completed"


def test_the_sweep_finds_who_was_forgotten(worker: WorkerProcess, limit: Limit) -> None:
    """Given runs whose process died right after their commit, when the sweep comes round, then they run."""
    mine = limit(max_concurrent=1)
    assert [mine.wait(run_id) for run_id in recorded(mine, 2)] == ["completed", "completed"]


def test_too_many_waiting_are_refused(nobody_works: None, limit: Limit) -> None:
    """Given a bound of five waiting runs, when twenty come at once, then five are taken, and the rest leave no row."""
    mine = limit(max_concurrent=1, max_waiting=5)

    def ask(_: int) -> bool:
        try:
            recorded(mine)
        except TooManyWaiting as refused:
            assert (refused.status, refused.reason) == (429, "waiting")
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        taken = list(pool.map(ask, range(20)))
    assert taken.count(True) == 5
    assert mine.rows("SELECT count(*) FROM runs WHERE tenant_id = %s", mine.tenant) == [(5,)]


def test_a_replay_wins_over_too_many(nobody_works: None, limit: Limit) -> None:
    mine = limit(max_concurrent=1, max_waiting=1)
    (first,) = recorded(mine, idem_key="k")
    assert recorded(mine, idem_key="k") == [first]


def test_a_waiting_run_can_be_cancelled(nobody_works: None, limit: Limit) -> None:
    mine = limit(max_concurrent=1)
    _, waiting = recorded(mine, 2)
    move_admitted()
    cancel(mine.tenant, waiting)
    assert mine.status(waiting) == "cancelled"


def test_a_fork_waits_like_any_run(worker: WorkerProcess, limit: Limit) -> None:
    mine = limit(max_concurrent=1)
    parent = mine.submit({"steps": 2})
    mine.wait(parent)
    asking = mine.submit({"seconds": 1}, "slow")
    mine.wait(asking, "running")
    forked = fork(mine.tenant, parent, "1")
    assert mine.column(forked, "limited") is True
    mine.wait(forked)


def test_a_slot_is_given_back_where_the_session_is_busy_again(worker: WorkerProcess, limit: Limit) -> None:
    """Given one slot, and a session whose second run has it because the first one, with the smaller id, was recorded
    a moment later, when the sweep comes round, then both run, the first one first."""
    mine = limit(max_concurrent=1)
    first, second = recorded(mine, 2, session_id="s", on_busy="queue")
    mine.rows("UPDATE runs SET admitted = (id = %s) WHERE id IN (%s, %s) RETURNING id", second, first, second)
    for run_id in (first, second):
        mine.wait(run_id)
    ends = [mine.column(run_id, "finished_at") for run_id in (first, second)]
    assert ends == sorted(ends)


def test_a_run_that_is_resumed_counts_though_it_never_had_a_slot(nobody_works: None, limit: Limit) -> None:
    """Given a run whose deadline passed while it waited, when it is resumed, then the next one waits for its slot."""
    mine = limit(max_concurrent=1)
    (late,) = recorded(mine, deadline_seconds=600)
    mine.rows("UPDATE runs SET deadline_at = now() WHERE id = %s RETURNING id", late)
    advance(mine.tenant, late)
    assert (mine.status(late), mine.column(late, "admitted")) == ("failed", False)
    resume(mine.tenant, late)
    (other,) = recorded(mine)
    move_admitted()
    assert [mine.status(one) for one in (late, other)] == ["running", "pending"]


def test_no_tenants_number_stops_the_admission_of_all(nobody_works: None, limit: Limit) -> None:
    """Given limits that are larger than a column of integers, and one that is no number at all, which somebody wrote
    past every check, then their tenants' runs and everybody's start."""
    largest = limit(max_concurrent=plans.LARGEST, max_waiting=plans.LARGEST)
    strange, plain = limit(another(), max_concurrent="many"), limit(another(), max_concurrent=1)
    made = [(mine, *recorded(mine)) for mine in (largest, strange, plain)]
    move_admitted()
    assert [mine.status(run_id) for mine, run_id in made] == ["running"] * 3


def test_an_erasure_waits_for_nobody(nobody_works: None, limit: Limit) -> None:
    """Given a tenant whose runs fill its slots and its bound of waiting ones, when a subject is to be forgotten, then
    that begins at once."""
    mine = limit(max_concurrent=1, max_waiting=1)
    recorded(mine)
    move_admitted()
    recorded(mine)
    entry = Entry("user:officer", "erasure.request", "erasure")
    _, outcome = erasure.request(mine.tenant, user_id="u", subject_hash="hmac-sha256:" + "ab" * 32, entry=entry)
    assert mine.status(outcome.run_id) == "running"


def test_without_a_limit_nothing_waits(nobody_works: None, runs: Runs) -> None:
    """Given a tenant of the plan `unlimited`, when a run comes, then it starts in the transaction that records it."""
    (run_id,) = recorded(runs)
    assert runs.status(run_id) == "running"
    assert (runs.column(run_id, "limited"), runs.column(run_id, "admitted")) == (False, True)
