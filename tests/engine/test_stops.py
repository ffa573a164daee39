"""Runs that are stopped: cancelled, past their deadline, a node past its own."""

from __future__ import annotations

import time

import pytest

from chains.cancel import cancel
from chains.resume import resume
from errors import WrongState
from tests.engine.conftest import GRACE_SECONDS, Runs
from tests.engine.workers import WorkerProcess


@pytest.mark.parametrize("chain", ["slow", "stream"])
def test_a_cancel_is_seen_within_two_seconds(worker: WorkerProcess, runs: Runs, chain: str) -> None:
    """Given a node that works or streams for a minute, when its run is cancelled, then it ends within 2 s."""
    run = runs.submit({"seconds": 60}, chain)
    runs.wait_event(run, "step_started", chain)
    began = time.monotonic()
    cancel(runs.tenant, run)
    runs.wait(run, "cancelled", seconds=3)
    assert time.monotonic() - began <= 2.2
    assert runs.types(run)[-2:] == ["step_started", "run_cancelled"]
    runs.check(run)


def test_a_node_that_hears_nothing_holds_a_cancel_up_for_the_grace_only(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that ignores the stop, when the grace (here 3 s) is over, the run is cancelled, its result void."""
    run = runs.submit({"seconds": 6}, "deaf")
    runs.wait_event(run, "step_started", "deaf")
    began = time.monotonic()
    cancel(runs.tenant, run)
    runs.wait(run, "cancelled", seconds=8)
    assert GRACE_SECONDS - 0.5 <= time.monotonic() - began <= GRACE_SECONDS + 2
    seq = runs.column(run, "seq")
    runs.until(lambda: "commit_fenced" in worker.output(), 10, "the zombie did not come back")
    assert runs.column(run, "seq") == seq
    assert "deaf" not in [key for key, one in runs.steps(run).items() if one["status"] == "succeeded"]
    runs.check(run)


def test_a_commit_that_comes_before_the_end_still_counts(worker: WorkerProcess, runs: Runs) -> None:
    """Given a deaf node that ends in time, when its run is cancelled, then its result stays and nothing follows it."""
    run = runs.submit({"seconds": 1.5}, "deaf")
    runs.wait_event(run, "step_started", "deaf")
    cancel(runs.tenant, run)
    runs.wait(run, "cancelled", seconds=8)
    assert set(runs.steps(run)) == {"note", "deaf"}
    assert runs.steps(run)["deaf"]["status"] == "succeeded"
    assert runs.types(run)[-1] == "run_cancelled"
    runs.check(run)


def test_a_finished_run_cannot_be_cancelled(worker: WorkerProcess, runs: Runs) -> None:
    """Given a completed run, when it is cancelled, then that is refused."""
    run = runs.submit({"steps": 1})
    runs.wait(run)
    with pytest.raises(WrongState):
        cancel(runs.tenant, run)


def test_a_run_fails_at_its_deadline(worker: WorkerProcess, runs: Runs) -> None:
    """Given a deadline of 1 s, when the node takes a minute, then the run fails with `deadline_exceeded`."""
    run = runs.submit({"seconds": 60}, "slow", deadline_seconds=1.0)
    began = time.monotonic()
    runs.wait(run, "failed", seconds=6)
    assert time.monotonic() - began <= 5
    assert runs.column(run, "error")["code"] == "deadline_exceeded"
    runs.check(run)


def test_each_resume_gives_the_deadline_that_was_asked_for(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run that failed at its deadline, when it is resumed later, twice, then it has the same 2 s each time."""
    run = runs.submit({"seconds": 60}, "slow", deadline_seconds=2.0)
    runs.wait(run, "failed", seconds=8)
    for _ in range(2):
        time.sleep(1.5)
        resume(runs.tenant, run)
        left = runs.column(run, "extract(epoch FROM deadline_at - now())")
        assert 1.0 < left <= 2.0
        runs.wait(run, "failed", seconds=8)
    runs.check(run)


def test_a_waiting_run_fails_at_its_deadline(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run that waits for an answer, when its deadline passes, then it fails."""
    run = runs.submit({}, "approve", deadline_seconds=1.0)
    runs.wait(run, "paused", "failed")
    runs.wait(run, "failed", seconds=5)
    assert runs.column(run, "error")["code"] == "deadline_exceeded"
    runs.check(run)


def test_a_step_past_its_deadline_counts_as_lost(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node with 1 s that takes 3, when its deadline passes, then it runs again and the first writes nothing."""
    run = runs.submit({}, "overdue")
    runs.wait(run)
    step = runs.steps(run)["overdue"]
    assert (step["attempt"], step["losses"], step["failures"]) == (2, 1, 0)
    assert [one["data"]["reason"] for one in runs.events(run) if one["type"] == "step_rescued"] == ["deadline"]
    runs.until(lambda: "commit_fenced" in worker.output(), 6, "the overdue attempt did not come back")
    runs.check(run)
