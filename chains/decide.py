"""What follows from a run's situation: a pure function from rows to what is to be written, and nothing is written here.

`decide` puts `plan` and the table of states together: it knows deadlines, stops, waits and attempts, and what each
of them means for a run. `chains/advance.py` reads the situation, calls this under the run's lock and writes the answer.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from chains.definition import Gate, Part
from chains.plan import Line, PlanError, PlannedStep, plan, uncovered
from chains.queues import ISOLATED, queue_for
from chains.transitions import FINAL
from storage.situation import Situation, Unfinished

Json = Any

STOP_GRACE_SECONDS = 10.0
ISOLATED_AFTER_LOSSES = 2
POISON_AFTER_LOSSES = 3
BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0


@dataclass(frozen=True)
class Event:
    """An event to be written; its seq is given by the database."""

    type: str
    step: str | None = None
    node: str | None = None
    data: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class NewSegment:
    """A segment to open: a line of steps of one queue, its first step with this attempt, due in so many seconds."""

    steps: Line
    attempt: int
    queue: str
    due_seconds: float


@dataclass(frozen=True)
class Wait:
    """A gate that begins to wait."""

    step: PlannedStep
    gate: Gate
    pause: Mapping[str, Json]


@dataclass(frozen=True)
class Decision:
    """What to write, in this order: expired waits, passed gates, waits that are over, stop, new waits, new segments,
    status, events."""

    expired: tuple[tuple[str, Json], ...] = ()
    passed: tuple[tuple[str, Json, Mapping[str, Json]], ...] = ()
    again: tuple[str, ...] = ()
    stop: tuple[str, Json] | None = None
    waits: tuple[Wait, ...] = ()
    segments: tuple[NewSegment, ...] = ()
    close: bool = False
    status: str | None = None
    error: Json = None
    pause: Json = None
    events: tuple[Event, ...] = ()


def backoff_seconds(failures: int, seed: str) -> float:
    """How long to wait before the try after this many failures: 0.5 s * 2^n with jitter, at most 30 s.

    The jitter (0.75 to 1.25) is drawn from the seed, so that the same failure always waits as long.
    """
    jitter = 0.75 + random.Random(seed).random() / 2
    return min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * float(2 ** min(failures - 1, 16)) * jitter)


def decide(
    now: Situation, body: Part | None, *, may_start: bool = True, grace_seconds: float = STOP_GRACE_SECONDS
) -> Decision:
    """Tell what comes next for a run.

    body: its definition, None where this process does not know it: the run can then be stopped but not go on;
    may_start: it has a slot where it needs one, and no other run is changing its session.
    """
    if now.status in FINAL:
        return Decision()
    if now.stop is None and now.past_deadline:
        error = {"code": "deadline_exceeded", "message": "The run did not end before its deadline.", "step": None}
        return _stopping(replace(now, stop="deadline", error=now.error or error), ("deadline", error), grace_seconds)
    if now.stop is not None:
        return _stopping(now, None, grace_seconds)
    if body is None or (now.status == "pending" and not may_start):
        return Decision()
    return _going_on(now, body)


def _stopping(now: Situation, stop: tuple[str, Json] | None, grace_seconds: float) -> Decision:
    """A run that is to end: at once if nothing runs any more, else when what runs has ended or the grace is over."""
    if any(segment.token and not segment.overdue for segment in now.segments) and now.stopping_seconds < grace_seconds:
        return Decision(stop=stop)
    cancelled = now.stop in ("cancelled", "interrupted")
    status = "cancelled" if cancelled else "failed"
    error = now.error or {"code": now.stop or status, "message": f"The run was {now.stop}.", "step": None}
    data = {"status": status, "error": error} if not cancelled else {"status": status, "reason": now.stop}
    return Decision(
        stop=stop,
        close=True,
        status=status,
        error=None if cancelled else error,
        events=(Event(f"run_{status}", data=data),),
    )


def _going_on(now: Situation, body: Part) -> Decision:
    due = [one for one in now.unfinished if one.status == "waiting" and (one.due_in_seconds or 1) <= 0]
    over = [one for one in due if _runs_again(one)]
    gates_due = [one for one in due if _timeout_answer(one)]
    expired = [one for one in due if one not in over and one not in gates_due]
    if expired:
        return _failed_by_timeout(now, expired[0])
    passed = tuple((one.key, _timeout_answer(one), _gate_facts(one, _timeout_answer(one))) for one in gates_due)
    now = replace(
        now,
        done={**now.done, **{key: dict(facts) for key, _, facts in passed}},
        unfinished=tuple(_planned_again(one) if one in over else one for one in now.unfinished if one not in gates_due),
    )
    try:
        planned = plan(body, now.input_facts, now.done)
    except PlanError as wrong:
        return _failing(now, {"code": wrong.code, "message": str(wrong), "step": None})
    covered = {key for segment in now.segments for key in segment.keys}
    covered |= {one.key for one in now.unfinished if one.status == "waiting"}
    lines = uncovered(planned, covered)
    gates = tuple(_wait(line[0]) for line in lines if line[0].gate)
    segments = tuple(new for line in lines if not line[0].gate for new in _segments(line, now))
    events = [_passed_event(one) for one in gates_due]
    if now.status == "pending":
        events.append(Event("run_started", data={"run_id": str(now.run_id), "status": "running"}))
    events += [Event("step_started", head.key, head.node, {"attempt": 1}) for head in _quick_heads(segments)]
    again = tuple(one.key for one in over)
    decision = Decision(passed=passed, again=again, waits=gates, segments=segments, events=tuple(events))
    return _with_status(now, decision, planned.finished)


def _with_status(now: Situation, decision: Decision, finished: bool) -> Decision:
    """The status that the run has after the decision, and the event that tells it."""
    events = decision.events
    if finished:
        return replace(decision, status="completed")
    if now.segments or decision.segments:
        if now.status == "paused":
            events = (*events, Event("run_resumed", data={"status": "running"}))
        return replace(decision, status="running" if now.status != "running" else None, events=events)
    waiting = [one.pause for one in now.unfinished if one.status == "waiting"] + [wait.pause for wait in decision.waits]
    if not waiting:
        stuck = {"code": "nothing_to_run", "message": "The chain is not finished and has nothing to run.", "step": None}
        return _failing(now, stuck)
    pause = waiting[0] if len(waiting) == 1 else {**waiting[0], "waiting": [each["step"] for each in waiting]}
    if now.status == "paused" and not decision.waits and not decision.passed:
        return replace(decision, status="paused", pause=pause)
    paused = Event("run_paused", pause["step"], None, pause)
    asked = _governance(waiting[0]) if decision.waits or now.status != "paused" else ()
    return replace(decision, status="paused", pause=pause, events=(*events, *asked, paused))


def _governance(pause: Mapping[str, Json]) -> tuple[Event, ...]:
    """The documents' event for a run that waits for an approval (seed 002, 16.1)."""
    if pause.get("kind") != "approval":
        return ()
    return (
        Event(
            "governance_intervention",
            pause["step"],
            None,
            {"reason": pause.get("question"), "approval_id": pause["step"]},
        ),
    )


def _failing(now: Situation, error: Json) -> Decision:
    """Stop the run for good: final at once if nothing runs, else when it has ended."""
    return _stopping(replace(now, stop="failed", error=error), ("failed", error), STOP_GRACE_SECONDS)


def _failed_by_timeout(now: Situation, wait: Unfinished) -> Decision:
    error = {"code": "wait_timed_out", "message": "Nobody answered in time.", "step": wait.key}
    failed = _failing(now, error)
    events = (Event("step_failed", wait.key, wait.node, {"attempt": wait.attempt, "error": error}), *failed.events)
    return replace(failed, expired=((wait.key, error),), events=events)


def _segments(line: Line, now: Situation) -> tuple[NewSegment, ...]:
    """The line as segments: only its first stretch of one queue; a step that took workers with it runs by itself."""
    before = next((one for one in now.unfinished if one.key == line[0].key), None)
    if before is not None and before.losses >= ISOLATED_AFTER_LOSSES:
        return (NewSegment(line[:1], before.attempt + 1, ISOLATED, 0.0),)
    queue, stretch = next(groupby(line, key=lambda one: queue_for(one.node)))
    attempt = before.attempt + 1 if before else 1
    due = max(0.0, before.due_in_seconds or 0.0) if before else 0.0
    return (NewSegment(tuple(stretch), attempt, queue, due),)


def _quick_heads(segments: tuple[NewSegment, ...]) -> list[PlannedStep]:
    """The steps whose start is told with this transaction: quick ones at their first attempt."""
    return [new.steps[0] for new in segments if new.steps[0].quick and new.attempt == 1]


def _wait(step: PlannedStep) -> Wait:
    assert step.gate is not None
    gate = step.gate
    pause: dict[str, Json] = {"kind": "approval", "question": gate.question, "step": step.key}
    if gate.timeout_seconds is not None:
        pause["timeout_seconds"] = gate.timeout_seconds
    if gate.on_timeout != "fail":
        pause["on_timeout"] = dict(gate.on_timeout)
    pause["facts"] = list(gate.facts)
    return Wait(step, gate, pause)


def _timeout_answer(one: Unfinished) -> Json:
    """What a gate takes for its answer when its time is over; a node's own pause never has one."""
    return (one.pause or {}).get("on_timeout") if one.node == "gate" else None


def _runs_again(one: Unfinished) -> bool:
    """Whether a node that paused runs again when its time is over (`Pause(on_timeout="again")`)."""
    return one.node != "gate" and (one.pause or {}).get("runs_again") is True


def _planned_again(one: Unfinished) -> Unfinished:
    return replace(one, status="retrying", pause=None, answer=None, due_in_seconds=None)


def _gate_facts(one: Unfinished, answer: Json) -> Mapping[str, Json]:
    return gate_facts((one.pause or {}).get("facts") or (), answer)


def gate_facts(names: Any, answer: Json) -> Mapping[str, Json]:
    """The facts of an answered gate: the declared fields of an answer that is an object, or all of it."""
    if not isinstance(answer, Mapping):
        return {}
    return {name: answer[name] for name in (names or answer) if name in answer}


def _passed_event(one: Unfinished) -> Event:
    return Event("step_succeeded", one.key, one.node, {"attempt": one.attempt, "timed_out": True})
