"""What a client asks for: idempotency keys, sessions that only one run may change, forks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from chains.fork import fork
from chains.submit import SubmitRequest, submit
from errors import IdempotencyConflict, InvalidInput, NotFound, SessionBusy, UnknownChain
from storage import blobs
from storage.reads import runs as rows_of_runs
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


def test_the_same_key_gives_the_same_run(worker: WorkerProcess, runs: Runs) -> None:
    """Given a key that was used, when the same request comes again, then it gets that run; another one is refused."""
    first = runs.ask({"steps": 1}, idem_key="k")
    again = runs.ask({"steps": 1}, idem_key="k")
    assert (again.run_id, again.replayed, first.replayed) == (first.run_id, True, False)
    with pytest.raises(IdempotencyConflict):
        runs.ask({"steps": 2}, idem_key="k")
    runs.wait(first.run_id)


def test_of_concurrent_duplicates_one_is_accepted(worker: WorkerProcess, runs: Runs) -> None:
    """Given twelve requests with one key at once, when they are accepted, then they are one run."""
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: runs.ask({"steps": 2}, idem_key="at once"), range(12)))
    assert len({one.run_id for one in answers}) == 1
    assert [one.replayed for one in answers].count(False) == 1
    assert runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s", runs.tenant) == [(1,)]
    runs.wait(answers[0].run_id)
    runs.check(answers[0].run_id)


@pytest.mark.parametrize(
    ("chain", "given", "session"),
    [("probe", {"steps": 1}, None), ("probe", {"steps": 12, "fan_out": 3}, "s"), ("branch_fails", {}, None)],
)
def test_a_new_run_is_known_without_reading_it(
    engine_env: None, runs: Runs, chain: str, given: dict[str, int], session: str | None
) -> None:
    """Given a run that has just been accepted, when it is looked at, then it is what the caller was told of it."""
    accepted = submit(runs.tenant, SubmitRequest(chain, given, session_id=session, user_id="u", agent_id="a"))
    assert accepted.recorded == rows_of_runs.get(runs.tenant, accepted.run_id)


@pytest.mark.parametrize("chain", ["gated_branch", "two_gates", "approve"])
def test_a_new_run_with_a_gate_is_read(engine_env: None, runs: Runs, chain: str) -> None:
    """Given a chain with a gate, when a run of it is accepted, then it is known only where no gate waits yet."""
    accepted = submit(runs.tenant, SubmitRequest(chain, {}))
    waits = any(step.status == "waiting" for step in rows_of_runs.get(runs.tenant, accepted.run_id).steps)
    assert (accepted.recorded is None) == waits


def test_what_is_wrong_writes_nothing(engine_env: None, runs: Runs) -> None:
    """Given a wrong input or chain, when it is submitted, then it is refused and no row is left."""
    with pytest.raises(InvalidInput) as wrong:
        runs.submit({"steps": 0})
    assert wrong.value.errors[0]["field"] == "input.steps"
    with pytest.raises(UnknownChain):
        runs.submit({}, "prob")
    assert runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s", runs.tenant) == [(0,)]


def test_a_busy_session_refuses(worker: WorkerProcess, runs: Runs) -> None:
    """Given a session that a run is changing, when another one comes, then it is refused, and its key stays free."""
    first = runs.submit({}, "approve", session_id="s")
    runs.wait(first, "paused")
    with pytest.raises(SessionBusy):
        runs.submit({}, "probe", session_id="s", idem_key="later")
    assert runs.ask({}, "approve", session_id="other").run_id != first
    assert runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s AND idem_key = 'later'", runs.tenant) == [(0,)]


def test_a_replay_wins_over_busy(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run that holds its session, when its own request is repeated, then it is answered with the run."""
    first = runs.ask({"seconds": 1}, "slow", session_id="s", idem_key="mine")
    again = runs.ask({"seconds": 1}, "slow", session_id="s", idem_key="mine")
    assert (again.run_id, again.replayed) == (first.run_id, True)
    runs.wait(first.run_id)


def test_queued_runs_of_a_session_go_one_after_the_other(worker: WorkerProcess, runs: Runs) -> None:
    """Given three runs for one session with on_busy=queue, when they run, then never two at once, in order."""
    several = [runs.submit({"seconds": 0.3}, "slow", session_id="s", on_busy="queue") for _ in range(3)]
    assert runs.status(several[1]) == runs.status(several[2]) == "pending"
    for run in several:
        runs.wait(run, seconds=20)
        runs.check(run)
    times = runs.rows(
        "SELECT started_at, finished_at FROM runs WHERE tenant_id = %s AND session_id = 's' ORDER BY id", runs.tenant
    )
    assert times[0][1] <= times[1][0] and times[1][1] <= times[2][0]


def test_an_interrupt_takes_the_session_over(worker: WorkerProcess, runs: Runs) -> None:
    """Given a long run, when another one interrupts its session, then the first is cancelled and the second runs."""
    first = runs.submit({"seconds": 60}, "slow", session_id="s")
    runs.wait_event(first, "step_started", "slow")
    second = runs.submit({"steps": 2}, session_id="s", on_busy="interrupt")
    runs.wait(second, seconds=8)
    assert runs.status(first) == "cancelled"
    assert runs.events(first)[-1]["data"]["reason"] == "interrupted"
    runs.check(first)


def test_a_fork_keeps_the_checkpoints_up_to_a_step(worker: WorkerProcess, runs: Runs) -> None:
    """Given a completed run, when it is forked after step 2, then 1 and 2 are kept and only the rest runs."""
    parent = runs.submit({"steps": 5, "payload_bytes": 70_000})
    runs.wait(parent)
    child = fork(runs.tenant, parent, "2")
    runs.wait(child)
    assert runs.column(child, "output")["executed"] == ["1", "2", "3", "4", "5"]
    assert [one["step"] for one in runs.events(child) if one["type"] == "step_succeeded"] == ["3", "4", "5"]
    assert str(runs.column(child, "parent_run_id")) == str(parent)
    mine, theirs = runs.steps(child), runs.steps(parent)
    assert blobs.get(mine["2"]["output_ref"]) == blobs.get(theirs["2"]["output_ref"])
    assert mine["2"]["output_ref"].split("/")[1] == str(child) != str(parent)
    assert blobs.get(mine["4"]["output_ref"]) != blobs.get(theirs["4"]["output_ref"])
    runs.check(child)
    runs.check(parent)


def test_a_fork_with_another_input(worker: WorkerProcess, runs: Runs) -> None:
    """Given a failed run, when it is forked with an input that does not fail, then the fork completes."""
    parent = runs.submit({"failures": 9}, "flaky")
    runs.wait(parent, "failed", seconds=30)
    child = fork(runs.tenant, parent, "note", {"failures": 0})
    runs.wait(child)
    assert runs.column(child, "output")["executed"] == ["note", "flaky", "gather"]
    assert runs.status(parent) == "failed"


def test_a_fork_needs_a_checkpoint(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run, when it is forked after a step that it does not have, then that is refused and nothing is made."""
    parent = runs.submit({"steps": 1})
    runs.wait(parent)
    with pytest.raises(InvalidInput):
        fork(runs.tenant, parent, "9")
    with pytest.raises(InvalidInput):
        fork(runs.tenant, parent, "1", {"steps": -1})
    with pytest.raises(NotFound):
        fork(runs.tenant, runs.tenant, "1")
    assert runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s", runs.tenant) == [(1,)]
