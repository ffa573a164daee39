"""Steps that wait for a person: gates, questions of nodes, effects of unknown outcome."""

from __future__ import annotations

import pytest

from chains.answer import answer
from chaos.effect_server import EffectServer
from errors import AlreadyAnswered, AmbiguousAnswer, InvalidInput, WrongState
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


@pytest.mark.parametrize(("ok", "then"), [(True, "sent"), (False, "kept")])
def test_a_gate_waits_for_its_answer(worker: WorkerProcess, runs: Runs, ok: bool, then: str) -> None:
    """Given a gate, when it is answered, then the chain decides on the answer."""
    run = runs.submit({}, "approve")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["question"] == "Shall it go out?"
    answer(runs.tenant, run, {"ok": ok})
    runs.wait(run)
    assert runs.column(run, "output")["executed"] == ["note", "approve", then]
    assert runs.column(run, "pause") is None
    types = runs.types(run)
    assert types.index("run_paused") < types.index("run_resumed") < types.index("run_completed")
    runs.check(run)


def test_the_same_answer_again_is_fine_and_another_is_not(worker: WorkerProcess, runs: Runs) -> None:
    """Given an answered gate, when the answer comes again, then nothing happens; another one is refused."""
    run = runs.submit({}, "approve")
    runs.wait(run, "paused")
    answer(runs.tenant, run, {"ok": True})
    answer(runs.tenant, run, {"ok": True})
    with pytest.raises(AlreadyAnswered):
        answer(runs.tenant, run, {"ok": False})
    runs.wait(run)
    answer(runs.tenant, run, {"ok": True}, "approve")
    runs.check(run)


def test_a_gate_that_nobody_answers_fails_the_run(worker: WorkerProcess, runs: Runs) -> None:
    """Given a gate with 0.5 s, when nobody answers, then the run fails with `wait_timed_out`."""
    run = runs.submit({}, "hurried")
    runs.wait(run, "failed", seconds=5)
    assert runs.column(run, "error") == {
        "code": "wait_timed_out",
        "message": "Nobody answered in time.",
        "step": "approve",
    }
    runs.check(run)


def test_a_gate_may_have_an_answer_of_its_own(worker: WorkerProcess, runs: Runs) -> None:
    """Given a gate whose timeout is an answer, when nobody answers, then the run goes on with that."""
    run = runs.submit({}, "defaulted")
    runs.wait(run, seconds=5)
    assert runs.steps(run)["approve"]["output"] == {"ok": True}
    runs.check(run)


def test_a_gate_in_a_branch_does_not_hold_the_others_up(worker: WorkerProcess, runs: Runs) -> None:
    """Given a gate beside a working branch, when the branch is done, then only then the run is paused."""
    run = runs.submit({"seconds": 0.5}, "gated_branch")
    runs.wait_event(run, "step_succeeded", "right")
    runs.wait(run, "paused")
    assert runs.types(run).count("run_paused") == 1
    answer(runs.tenant, run, "yes")
    runs.wait(run)
    assert runs.column(run, "output")["executed"][-1] == "gather"
    runs.check(run)


def test_a_gate_is_answered_while_its_sibling_runs(worker: WorkerProcess, runs: Runs) -> None:
    """Given a gate beside a working branch, when it is answered at once, then the run is never paused."""
    run = runs.submit({"seconds": 1}, "gated_branch")
    runs.wait_event(run, "step_started", "slow")
    answer(runs.tenant, run, "yes", "ask_left")
    runs.wait(run)
    assert "run_paused" not in runs.types(run)
    runs.check(run)


def test_an_ambiguous_answer_is_refused(worker: WorkerProcess, runs: Runs) -> None:
    """Given two gates that wait, when an answer names none, then it is refused; named, each is taken."""
    run = runs.submit({}, "two_gates")
    runs.wait(run, "paused")
    with pytest.raises(AmbiguousAnswer):
        answer(runs.tenant, run, 1)
    with pytest.raises(InvalidInput):
        answer(runs.tenant, run, 1, "third")
    answer(runs.tenant, run, 2, "second")
    assert runs.status(run) == "paused"
    answer(runs.tenant, run, 1)
    runs.wait(run)
    runs.check(run)


def test_a_node_asks_and_goes_on_with_the_answer(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that pauses with a question, when it is answered, then it runs again and sees the answer."""
    run = runs.submit({}, "ask")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["options"] == ["red", "blue"]
    answer(runs.tenant, run, "red")
    runs.wait(run)
    assert runs.column(run, "output") == {"answer": "red", "attempt": 2}
    answer(runs.tenant, run, "red", "ask")
    with pytest.raises(AlreadyAnswered):
        answer(runs.tenant, run, "blue", "ask")
    runs.check(run)


def test_nothing_waits_no_answer(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run where nothing waits, when it is answered, then that is refused."""
    run = runs.submit({"steps": 1})
    runs.wait(run)
    with pytest.raises(WrongState):
        answer(runs.tenant, run, 1)


def test_an_idempotent_effect_is_sent_again_under_one_key(
    worker: WorkerProcess, runs: Runs, effect_server: EffectServer
) -> None:
    """Given an effect whose answer is lost, when the step is retried, then it is sent again with the same key."""
    run = runs.submit({"kind": "idempotent", "breaks": True}, "effect")
    runs.wait(run)
    (posts,) = effect_server.of_run(run).values()
    assert len(posts) == 2
    assert [one["status"] for one in runs.effects(run)] == ["done"]
    runs.check(run)


def test_a_done_effect_is_not_repeated(worker: WorkerProcess, runs: Runs, effect_server: EffectServer) -> None:
    """Given a step that fails after its effect, when it runs again, then it gets the stored result without a call."""
    for kind in ("idempotent", "at_most_once"):
        run = runs.submit({"kind": kind, "fails_after": True}, "effect")
        runs.wait(run)
        assert [len(posts) for posts in effect_server.of_run(run).values()] == [1]
        assert runs.column(run, "output") == {"result": {"status": 200}}


def test_an_unknown_outcome_waits_for_a_person_who_says_yes(
    worker: WorkerProcess, runs: Runs, effect_server: EffectServer
) -> None:
    """Given an at-most-once effect without an answer, when a person says it happened, then it is never sent again."""
    run = runs.submit({"kind": "at_most_once", "breaks": True}, "effect")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["kind"] == "effect"
    assert [one["status"] for one in runs.effects(run)] == ["unknown"]
    with pytest.raises(InvalidInput):
        answer(runs.tenant, run, "yes")
    answer(runs.tenant, run, {"happened": True, "result": {"status": 201}})
    runs.wait(run)
    assert runs.column(run, "output") == {"result": {"status": 201}}
    assert [len(posts) for posts in effect_server.of_run(run).values()] == [1]
    runs.check(run)


def test_an_unknown_outcome_that_did_not_happen_is_sent(
    worker: WorkerProcess, runs: Runs, effect_server: EffectServer
) -> None:
    """Given the same, when a person says that it did not happen, then it is sent, once."""
    run = runs.submit({"kind": "at_most_once", "breaks": True}, "effect")
    runs.wait(run, "paused")
    answer(runs.tenant, run, {"happened": False})
    runs.wait(run)
    assert [len(posts) for posts in effect_server.of_run(run).values()] == [2]
    assert [one["status"] for one in runs.effects(run)] == ["done"]
    runs.check(run)


def test_another_request_under_the_same_key_pauses_the_run(worker: WorkerProcess, runs: Runs) -> None:
    """Given a node that asks for something else at its second attempt, when the first was sent, a person decides."""
    run = runs.submit({"kind": "idempotent", "breaks": True, "fickle": True}, "effect")
    runs.wait(run, "paused")
    assert runs.column(run, "pause")["conflict"] is True
    answer(runs.tenant, run, {"happened": True, "result": 7})
    runs.wait(run)
    assert runs.column(run, "output") == {"result": 7}
    runs.check(run)
