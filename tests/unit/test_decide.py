"""What follows from a run's situation: statuses, waits, stops, attempts. Pure, so every case is a row of facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.decide import MAX_BACKOFF_SECONDS, Decision, backoff_seconds, decide
from chains.definition import branch, gate, parallel, sequence, step, when
from chains.parts import Part
from storage.situation import OpenSegment, Situation, Unfinished

LINE = sequence(step("shop.price", facts=("total",), quick=True), step("shop.ship"))
RUNNING = Situation(
    run_id=UUID(int=7),
    tenant_id=UUID(int=1),
    chain="shop",
    version="1",
    status="running",
    stop=None,
    stopping_seconds=0.0,
    input_facts={},
    session_id=None,
    error=None,
    past_deadline=False,
    done={},
    unfinished=(),
    segments=(),
    last_no=0,
    versions=0,
    degraded_reason=None,
    trace_id="0" * 32,
    limited=False,
    admitted=True,
    seq=1,
    at=datetime(2026, 1, 1, tzinfo=UTC),
)
PENDING = replace(RUNNING, status="pending")


def held(*keys: str, overdue: bool = False) -> OpenSegment:
    return OpenSegment(1, keys, tuple(f"shop.{key}" for key in keys), 1, "a token", overdue)


def queued(*keys: str) -> OpenSegment:
    return replace(held(*keys), token=None)


def unfinished(key: str, status: str, **fields: Any) -> Unfinished:
    given = Unfinished(key, f"shop.{key}", status, 1, 0, 0, None, None, None, None)
    return replace(given, **fields)


def waiting_gate(key: str, **pause: Any) -> Unfinished:
    return unfinished(key, "waiting", node="gate", pause={"kind": "approval", "step": key, "question": "?", **pause})


def types(decision: Decision) -> list[str]:
    return [event.type for event in decision.events]


def opened(decision: Decision) -> list[list[str]]:
    return [[one.key for one in segment.steps] for segment in decision.segments]


def test_a_pending_run_starts_with_its_first_line() -> None:
    # Given a run that nothing holds back, When it is decided
    decision = decide(PENDING, LINE)
    # Then its line is one segment, it runs, and the start of its quick head is told along with it
    assert opened(decision) == [["price", "ship"]]
    assert decision.status == "running"
    assert types(decision) == ["run_started", "step_started"]


def test_a_pending_run_waits_for_its_session() -> None:
    assert decide(PENDING, LINE, may_start=False) == Decision()


def test_a_run_of_an_unknown_version_is_left_alone_but_can_be_stopped() -> None:
    # Given a worker that does not have the run's version
    assert decide(RUNNING, None) == Decision()
    # When the run is cancelled, Then it ends all the same
    assert decide(replace(RUNNING, stop="cancelled"), None).status == "cancelled"


def test_what_stands_in_an_open_segment_is_not_opened_again() -> None:
    now = replace(RUNNING, segments=(queued("price", "ship"),))
    assert decide(now, LINE) == Decision()


def test_a_finished_plan_completes_the_run() -> None:
    now = replace(RUNNING, done={"price": {"total": 3}, "ship": {}})
    decision = decide(now, LINE)
    assert (decision.status, decision.segments) == ("completed", ())


def test_a_run_that_only_waits_is_paused_and_says_what_for() -> None:
    # Given a chain whose next part is a gate
    body = sequence(step("shop.price"), gate("approve", "Is this fine?", timeout_seconds=60), step("shop.ship"))
    decision = decide(replace(RUNNING, done={"price": {}}), body)
    # Then the gate waits, the run is paused, and the document's event for approvals is there
    assert [wait.step.key for wait in decision.waits] == ["approve"]
    assert (decision.status, decision.pause["question"]) == ("paused", "Is this fine?")
    assert types(decision) == ["governance_intervention", "run_paused"]


def test_a_gate_beside_a_branch_that_still_runs_does_not_pause_the_run() -> None:
    body = parallel(gate("approve", "?"), step("shop.price"))
    decision = decide(PENDING, body)
    assert (decision.status, len(decision.waits), opened(decision)) == ("running", 1, [["price"]])


def test_a_wait_whose_time_is_over_fails_the_run_where_it_has_no_answer() -> None:
    # Given a gate that waited long enough
    body = sequence(gate("approve", "?", timeout_seconds=1), step("shop.ship"))
    now = replace(RUNNING, status="paused", unfinished=(replace(waiting_gate("approve"), due_in_seconds=-0.1),))
    decision = decide(now, body)
    # Then the step and the run fail with the code of the contract
    assert [key for key, _ in decision.expired] == ["approve"]
    assert (decision.status, decision.error["code"]) == ("failed", "wait_timed_out")
    assert types(decision) == ["step_failed", "run_failed"]


def test_a_wait_whose_time_is_over_takes_its_timeout_answer() -> None:
    # Given a gate that takes "no" for an answer after its time
    body = sequence(
        gate("approve", "?", timeout_seconds=1, on_timeout={"approved": False}),
        branch(when(lambda facts: facts["approve"]["approved"], step("shop.ship")), otherwise=step("shop.refund")),
    )
    waiting = replace(waiting_gate("approve", on_timeout={"approved": False}), due_in_seconds=-1.0)
    decision = decide(replace(RUNNING, status="paused", unfinished=(waiting,)), body)
    # Then the gate has passed with that answer, and the chain went the other way
    assert decision.passed == (("approve", {"approved": False}, {"approved": False}),)
    assert (decision.status, opened(decision)) == ("running", [["refund"]])


def waiting_node(key: str, **pause: Any) -> Unfinished:
    pause_of = {"kind": "budget", "step": key, "question": "?", "timeout_seconds": 5, **pause}
    return unfinished(key, "waiting", attempt=2, failures=1, pause=pause_of)


def test_a_node_whose_wait_is_over_may_run_again() -> None:
    # Given a node that paused for a while only
    waiting = replace(waiting_node("price", runs_again=True), due_in_seconds=-0.1)
    now = replace(RUNNING, status="paused", unfinished=(waiting,))
    decision = decide(now, LINE)
    # Then it is planned again at once with the next attempt, the run goes on, and nothing failed or passed
    assert (decision.again, decision.expired, decision.passed) == (("price",), (), ())
    assert (decision.segments[0].attempt, decision.segments[0].due_seconds) == (3, 0.0)
    assert (decision.status, types(decision)) == ("running", ["run_resumed"])
    # And before its time is over it waits
    assert decide(replace(now, unfinished=(replace(waiting, due_in_seconds=0.1),)), LINE).again == ()


def test_a_nodes_wait_is_never_taken_for_a_gates_and_a_gates_never_for_a_nodes() -> None:
    # Given a node that calls a detail of its pause as a gate calls its answer
    waiting = replace(waiting_node("price", on_timeout={"approved": True}), due_in_seconds=-0.1)
    assert decide(replace(RUNNING, status="paused", unfinished=(waiting,)), LINE).error["code"] == "wait_timed_out"
    # And a gate that says so of itself
    body = sequence(gate("approve", "?", timeout_seconds=1), step("shop.ship"))
    asked = replace(waiting_gate("approve", on_timeout={"ok": True}, runs_again=True), due_in_seconds=-0.1)
    decision = decide(replace(RUNNING, status="paused", unfinished=(asked,)), body)
    assert (decision.again, [key for key, *_ in decision.passed]) == ((), ["approve"])


WAITS = st.lists(
    st.tuples(st.sampled_from(("again", "fail", "answer")), st.sampled_from((-1.0, 60.0, None))), min_size=1, max_size=5
)


@given(WAITS)
def test_of_any_waits_each_has_one_end(waits: list[tuple[str, float | None]]) -> None:
    # Given a fan-out whose branches all wait, each in its own way
    parts: list[Part] = []
    unfinished_ones = []
    for no, (way, due) in enumerate(waits):
        key = f"s{no}"
        is_gate = way == "answer"
        parts.append(gate(key, "?", timeout_seconds=60, on_timeout={"ok": True}) if is_gate else step("shop.s", key))
        one = waiting_gate(key, on_timeout={"ok": True}) if is_gate else waiting_node(key, runs_again=way == "again")
        unfinished_ones.append(replace(one, key=key, due_in_seconds=due))
    now = replace(RUNNING, status="paused", unfinished=tuple(unfinished_ones))
    decision = decide(now, sequence(parallel(*parts), step("shop.ship")) if len(parts) > 1 else parts[0])
    # Then what is due ends as it said, one that fails fails the run, and nothing else moves
    due_of = {way: {f"s{no}" for no, (one, due) in enumerate(waits) if due == -1.0 and one == way} for way, _ in waits}
    if due_of.get("fail"):
        assert (decision.status, decision.error["code"]) == ("failed", "wait_timed_out")
        return
    assert decision.expired == () and decision.status in ("running", "paused", "completed")
    assert set(decision.again) == due_of.get("again", set())
    assert {key for key, *_ in decision.passed} == due_of.get("answer", set())
    opened_keys = {one.key for segment in decision.segments for one in segment.steps}
    assert opened_keys - {"ship"} == set(decision.again)
    assert all(segment.attempt == 3 for segment in decision.segments if segment.steps[0].key in decision.again)
    assert not decision.waits


@pytest.mark.parametrize(
    ("stop", "status", "event"),
    [
        ("cancelled", "cancelled", "run_cancelled"),
        ("interrupted", "cancelled", "run_cancelled"),
        ("failed", "failed", "run_failed"),
        ("deadline", "failed", "run_failed"),
    ],
)
def test_a_stopped_run_ends_when_nothing_runs(stop: str, status: str, event: str) -> None:
    decision = decide(replace(RUNNING, stop=stop, segments=(queued("price"),)), LINE)
    assert (decision.close, decision.status, types(decision)) == (True, status, [event])


def test_a_stopped_run_waits_for_what_still_runs_but_not_for_ever() -> None:
    # Given a stopped run with a node at work
    now = replace(RUNNING, stop="cancelled", segments=(held("price"),))
    # Then it waits, Until the grace is over or the node has passed its deadline
    assert decide(now, LINE, grace_seconds=10).status is None
    assert decide(replace(now, stopping_seconds=10.0), LINE, grace_seconds=10).status == "cancelled"
    assert decide(replace(now, segments=(held("price", overdue=True),)), LINE, grace_seconds=10).status == "cancelled"


def test_a_run_past_its_deadline_is_stopped_then_failed() -> None:
    # Given a run whose deadline passed while a node is at work: it is only told to stop
    running = decide(replace(RUNNING, past_deadline=True, segments=(held("price"),)), LINE)
    assert (running.stop[0] if running.stop else None, running.status) == ("deadline", None)
    # And with nothing at work it fails at once
    assert decide(replace(RUNNING, past_deadline=True), LINE).error["code"] == "deadline_exceeded"


def test_a_retried_step_gets_the_next_attempt_when_it_is_due() -> None:
    now = replace(RUNNING, unfinished=(unfinished("price", "retrying", attempt=2, due_in_seconds=1.5),))
    segment = decide(now, LINE).segments[0]
    assert (segment.attempt, segment.due_seconds) == (3, 1.5)
    # and its start is not told before it happens
    assert types(decide(now, LINE)) == []


def test_a_step_that_took_two_workers_with_it_runs_alone_and_isolated() -> None:
    now = replace(RUNNING, unfinished=(unfinished("price", "retrying", attempt=2, losses=2),))
    decision = decide(now, LINE)
    assert (opened(decision), decision.segments[0].queue) == ([["price"]], "isolated")


def test_a_failing_condition_fails_the_run_with_its_place() -> None:
    body: Part = sequence(
        step("shop.price"), branch(when(lambda facts: facts["price"]["nothing"] > 1, step("shop.ship")))
    )
    decision = decide(replace(RUNNING, done={"price": {}}), body)
    assert (decision.status, decision.error["code"]) == ("failed", "condition_failed")
    assert "nothing" in decision.error["message"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_final_run_is_never_moved(status: str) -> None:
    assert decide(replace(RUNNING, status=status, past_deadline=True), LINE) == Decision()


def test_backoff_doubles_from_half_a_second_with_jitter_and_an_end() -> None:
    for failures, base in [(1, 0.5), (2, 1.0), (3, 2.0)]:
        assert 0.75 * base <= backoff_seconds(failures, "a run") <= 1.25 * base
    assert backoff_seconds(50, "a run") == MAX_BACKOFF_SECONDS
    assert backoff_seconds(1, "a run") == backoff_seconds(1, "a run") != backoff_seconds(1, "another")
