"""A run whose tenant has no budget left is paused, and goes on when the budget is raised or its time is over."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from beat_schedule import SCHEDULE
from chains.answer import answer
from chains.budget import go_on
from storage.model_calls import NewCall, open_call, spent
from storage.tables import uuid7, uuid7_floor
from tasks import upkeep
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


def test_a_run_without_budget_goes_on_when_it_is_raised(worker: WorkerProcess, runs: Runs, flag: Path) -> None:
    # Given a run whose node found no budget
    run = runs.submit({"raised": str(flag)}, "budget")
    runs.wait(run, "paused")
    assert runs.column(run, "pause") == {
        "kind": "budget",
        "question": "No budget is left.",
        "step": "budget",
        "budget": "tokens",
        "timeout_seconds": 3600,
        "runs_again": True,
    }
    # When the budget is raised
    flag.touch()
    assert go_on(runs.tenant) == 1
    # Then the step runs again, nothing failed, and there is nobody left to answer
    runs.wait(run)
    assert runs.column(run, "output") == {"answer": None, "attempt": 2}
    assert runs.steps(run)["budget"]["failures"] == 0
    assert go_on(runs.tenant) == 0
    runs.check(run)


def test_a_run_goes_on_by_itself_when_its_time_is_over(worker: WorkerProcess, runs: Runs, flag: Path) -> None:
    # Given a run that waits a second at a time, longer than its node has retries
    run = runs.submit({"raised": str(flag), "seconds": 0.2}, "budget")
    runs.wait_event(run, "run_paused", count=5, seconds=30)
    assert runs.column(run, "error") is None
    # When there is a budget again, Then it goes on, without an answer and without a failure
    flag.touch()
    runs.wait(run)
    output = runs.column(run, "output")
    assert output["answer"] is None and output["attempt"] >= 6
    assert runs.steps(run)["budget"]["failures"] == 0
    assert "step_failed" not in runs.types(run) and "step_retried" not in runs.types(run)
    runs.check(run)


def test_only_waits_for_a_budget_are_answered(worker: WorkerProcess, runs: Runs, flag: Path) -> None:
    # Given runs of one tenant: some without budget, one that asks a person, one that is done
    waiting = [runs.submit({"raised": str(flag)}, "budgets") for _ in range(5)]
    asking, done = runs.submit({}, "ask"), runs.submit({"steps": 1})
    for run in (*waiting, asking):
        runs.wait(run, "paused")
    runs.wait(done)
    # When the budget is raised twice at once, Then each is answered, the question is not
    flag.touch()
    threads = [threading.Thread(target=go_on, args=(runs.tenant,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for run in waiting:
        runs.until(lambda run=run: "ask" in runs.steps(run), 15)  # type: ignore[misc]
        runs.wait(run, "paused")
        assert runs.column(run, "pause")["kind"] == "question"
    assert runs.column(asking, "pause")["kind"] == "question"
    answer(runs.tenant, asking, "red")
    runs.wait(asking)


def test_another_tenants_waits_are_not_answered(worker: WorkerProcess, runs: Runs, flag: Path) -> None:
    run = runs.submit({"raised": str(flag)}, "budget")
    runs.wait(run, "paused")
    assert go_on(UUID(int=1)) == 0
    assert runs.status(run) == "paused"


def test_upkeep_settles_the_calls_of_a_dead_worker(runs: Runs) -> None:
    # Given a call whose worker died a good while ago, and one that is under way
    names = {"chain": "c", "agent_id": "a", "operation": "chat", "provider": "vllm", "backend": "b", "model": "m"}
    lost, young = (NewCall(uuid7(), runs.tenant, None, None, **names, tokens=tokens) for tokens in (100, 7))
    for call in (lost, young):
        open_call(call)
    died = datetime.now(UTC) - timedelta(seconds=upkeep.LOST_SECONDS + 60)
    runs.rows(
        "UPDATE llm_call_logs SET call_id = %s, created_at = %s WHERE call_id = %s RETURNING 1",
        UUID(int=uuid7_floor(died).int + 1),
        died,
        lost.call_id,
    )
    runs.rows("UPDATE model_spend SET day = %s WHERE tenant_id = %s RETURNING 1", died.date(), runs.tenant)
    # When the task of the schedule runs
    assert SCHEDULE["lost_calls"]["task"] == upkeep.lost_calls.name
    upkeep.lost_calls()
    # Then what it had reserved counts as used
    seen = "SELECT status, tokens_in FROM llm_call_logs WHERE tenant_id = %s ORDER BY call_id"
    assert runs.rows(seen, runs.tenant) == [("lost", 100), ("started", 0)]
    assert died.date() != datetime.now(UTC).date() or spent(runs.tenant).tokens_used == 100
