"""Nodes that fail: retries with a backoff and a budget, final errors, resume, and what is no error of the node."""

from __future__ import annotations

import pytest

from chains.resume import dry_run, resume
from errors import WrongState
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


def test_three_failures_are_retried(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that fails three times, when it runs, then the fourth attempt is its result."""
    run = runs.submit({"failures": 3}, "flaky")
    runs.wait(run)
    step = runs.steps(run)["flaky"]
    assert (step["attempt"], step["failures"], step["losses"]) == (4, 3, 0)
    assert runs.types(run, "flaky").count("step_retried") == 3
    runs.check(run)


def test_the_fourth_failure_is_final(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that always fails, when its budget is spent, then the run is failed and says where."""
    run = runs.submit({"failures": 9}, "flaky")
    runs.wait(run, "failed")
    step = runs.steps(run)["flaky"]
    assert (step["status"], step["failures"], step["attempt"]) == ("failed", 4, 4)
    assert runs.column(run, "error") == {"code": "node_failed", "message": "not yet", "step": "flaky"}
    assert runs.types(run)[-2:] == ["step_failed", "run_failed"]
    runs.check(run)


def test_a_retry_waits_longer_each_time(worker: WorkerProcess, runs: Runs) -> None:
    """Given an error without a time of its own, when it is retried, then after about 0.5 s, then after about 1 s."""
    run = runs.submit({"failures": 2, "own_backoff": True}, "flaky")
    runs.wait(run)
    waits = [one["data"]["retry_in_seconds"] for one in runs.events(run) if one["type"] == "step_retried"]
    assert 0.37 <= waits[0] <= 0.63
    assert 0.75 <= waits[1] <= 1.25
    at = [
        one["at"]
        for one in runs.events(run)
        if one["type"] in ("step_retried", "step_started") and one["step"] == "flaky"
    ]
    assert (at[2] - at[1]).total_seconds() >= waits[0]


def test_a_final_error_is_not_retried(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that says it will never work, when it fails, then the run fails at once with its code."""
    run = runs.submit({}, "final")
    runs.wait(run, "failed")
    assert runs.column(run, "error")["code"] == "bad_idea"
    assert runs.steps(run)["final"]["attempt"] == 1
    runs.check(run)


def test_resume_runs_only_what_failed(worker: WorkerProcess, runs: Runs) -> None:
    """Given a failed run, when it is resumed, then what had succeeded is not run again and the rest is."""
    run = runs.submit({}, "final")
    runs.wait(run, "failed")
    assert dry_run(runs.tenant, run) == {
        "run_id": str(run),
        "skipped": ["note"],
        "repeated": ["final"],
        "run": ["final", "gather"],
    }
    resume(runs.tenant, run)
    assert runs.status(run) != "failed"
    runs.wait(run)
    assert runs.column(run, "output")["executed"] == ["note", "final", "gather"]
    assert runs.column(run, "error") is None
    assert runs.types(run).count("run_resumed") == 1
    runs.check(run)


def test_resume_gives_a_new_budget(worker: WorkerProcess, runs: Runs) -> None:
    """Given a spent budget, when the run is resumed, then attempts go on and failures count from none."""
    run = runs.submit({"steps": 3, "fail": {"2": -1}})
    runs.wait(run, "failed", seconds=30)
    resume(runs.tenant, run)
    runs.wait(run)
    step = runs.steps(run)["2"]
    assert (step["attempt"], step["failures"]) == (5, 0)
    runs.check(run)


def test_only_a_failed_run_can_be_resumed(worker: WorkerProcess, runs: Runs) -> None:
    """Given a completed run, when it is resumed, then that is refused."""
    run = runs.submit({"steps": 1})
    runs.wait(run)
    with pytest.raises(WrongState):
        resume(runs.tenant, run)


def test_one_branchs_failure_stops_the_others(worker: WorkerProcess, runs: Runs) -> None:
    """Given a branch that fails for good, when its sibling works on, it is told to stop; a resume completes both."""
    run = runs.submit({"seconds": 6}, "branch_fails")
    runs.wait(run, "failed", seconds=5)
    runs.check(run)
    resume(runs.tenant, run)
    runs.wait(run, seconds=20)
    runs.check(run)


def test_what_would_kill_a_thread_is_a_failure_like_any_other(worker: WorkerProcess, runs: Runs) -> None:
    """Given nodes that raise SystemExit and MemoryError, when they run, then they are retried and the worker lives."""
    several = [runs.submit({}, "exits") for _ in range(10)]
    for run in several:
        runs.wait(run)
        assert runs.steps(run)["exits"]["failures"] == 2
    assert worker.child is not None and worker.child.poll() is None


def test_an_output_that_is_no_object_is_final(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that returns a list, when it ends, then the run fails and says so."""
    run = runs.submit({}, "odd")
    runs.wait(run, "failed")
    assert runs.column(run, "error")["code"] == "bad_output"


def test_halves_of_characters_are_mended(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node whose texts hold halves of surrogate pairs, when it ends, then all that is stored is whole."""
    run = runs.submit({}, "halves")
    runs.wait(run)
    assert runs.column(run, "output") == {"text": "a\U0001f600b\ufffdc"}
    assert [one["data"] for one in runs.events(run) if one["type"] == "step_thought"] == [
        {"content": "a\U0001f600b\ufffdc"}
    ]
    failed = runs.submit({"fails": True}, "halves")
    runs.wait(failed, "failed")
    assert runs.column(failed, "error")["message"] == "a\U0001f600b\ufffdc"
    runs.check(run)


@pytest.mark.parametrize("where", ["event", "pause"])
def test_what_is_no_json_fails_in_its_node(worker: WorkerProcess, runs: Runs, where: str) -> None:
    """Given a node that emits or asks what is no JSON, when it runs, then it fails like any other and holds nothing."""
    run = runs.submit({"where": where}, "unsaid")
    runs.wait(run, "failed", seconds=20)
    assert "not JSON serializable" in runs.column(run, "error")["message"]
    assert runs.steps(run)["unsaid"]["losses"] == 0
