"""Sticky hops: quick steps of a segment ride in one message, and everything that holds for messages holds for them."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import UUID

import pytest
from celery import Celery

from chains import send
from chains.cancel import cancel
from tests.engine.conftest import Runs
from tests.engine.workers import Workers

EIGHT = [str(number) for number in range(1, 9)]


def task_events(app: Celery, wanted: int, seconds: float = 10.0) -> list[dict[str, str]]:
    """Task events as Flower sees them, until so many have succeeded."""
    found: list[dict[str, str]] = []

    def keep(event: dict[str, str]) -> None:
        found.append(event)
        if sum(one["type"] == "task-succeeded" for one in found) >= wanted:
            receiver.should_stop = True

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": keep})
        receiver.capture(limit=None, timeout=seconds, wakeup=False)
    return found


def test_quick_steps_ride_in_one_message(workers: Workers, runs: Runs) -> None:
    # Given a worker with all the time it wants for a hop
    workers.stop_all()
    worker = workers.start(BATON_STICKY_MILLISECONDS="60000")
    # When a line of eight quick steps runs
    run = runs.submit({"steps": 8})
    runs.wait(run)
    # Then one message was enough, and every step has its checkpoint in order
    assert worker.received() == 1
    assert [key for _, key in sorted((one["version"], key) for key, one in runs.steps(run).items())] == EIGHT
    runs.check(run)


def test_without_stickiness_every_step_is_a_message(workers: Workers, runs: Runs) -> None:
    workers.stop_all()
    worker = workers.start(BATON_STICKY_MILLISECONDS="0")
    runs.wait(runs.submit({"steps": 8}))
    assert worker.received() == 8


def test_a_hop_ends_when_its_time_is_over(workers: Workers, runs: Runs) -> None:
    # Given hops that are over as soon as they begin
    workers.stop_all()
    worker = workers.start(BATON_STICKY_MILLISECONDS="0.001")
    # When a line of eight quick steps runs, Then the rest went back to the broker after every one
    run = runs.submit({"steps": 8})
    runs.wait(run)
    assert worker.received() == 8
    runs.check(run)


def test_a_slow_step_is_never_run_inside_a_hop(workers: Workers, runs: Runs) -> None:
    # Given steps that sleep, which the probe does not declare quick
    workers.stop_all()
    worker = workers.start(BATON_STICKY_MILLISECONDS="60000")
    runs.wait(runs.submit({"steps": 4, "sleep_ms": 1}))
    # Then each of them was a message
    assert worker.received() == 4


def test_a_retry_inside_a_hop_is_a_retry(workers: Workers, runs: Runs) -> None:
    # Given a line whose fifth step fails once
    workers.stop_all()
    workers.start(BATON_STICKY_MILLISECONDS="60000")
    run = runs.submit({"steps": 8, "fail": {"5": 1}, "effect": "at_most_once"})
    # When it runs in a hop, Then only that step was tried again
    runs.wait(run)
    assert [one["attempt"] for key, one in sorted(runs.steps(run).items())] == [1, 1, 1, 1, 2, 1, 1, 1]
    assert len(runs.effects(run)) == 8
    runs.check(run)


def test_a_cancel_is_seen_between_two_links(workers: Workers, runs: Runs) -> None:
    # Given a run of a thousand quick steps on its way
    workers.stop_all()
    workers.start(BATON_STICKY_MILLISECONDS="60000")
    run = runs.submit({"steps": 1000})
    runs.wait_event(run, "step_succeeded", count=3)
    # When it is cancelled, Then no step begins any more
    cancel(runs.tenant, run)
    runs.wait(run, "cancelled")
    assert runs.types(run)[-1] == "run_cancelled"
    runs.check(run)


def test_flower_sees_every_node_of_a_hop(workers: Workers, runs: Runs) -> None:
    # Given a worker that sends task events
    workers.stop_all()
    workers.start(BATON_STICKY_MILLISECONDS="60000", BATON_TASK_EVENTS="true")
    run: list[UUID] = []
    # When a line of eight runs in one hop
    run.append(runs.submit({"steps": 8}))
    found = [one for one in task_events(send.producer(), wanted=8) if one["type"].startswith("task-")]
    # Then each step was received, started and succeeded under a task id of its own
    by_id: dict[str, list[str]] = {}
    for one in found:
        by_id.setdefault(one["uuid"], []).append(one["type"])
    assert len(by_id) == 8
    assert all(types == ["task-received", "task-started", "task-succeeded"] for types in by_id.values())
    runs.wait(run[0])


@pytest.mark.parametrize("settings", [{"BATON_GROUP_COMMIT": "true"}, {"BATON_GROUP_COMMIT": "false"}])
def test_a_death_between_two_inner_links(
    workers: Workers, runs: Runs, tmp_path: Path, settings: dict[str, str]
) -> None:
    # Given a worker that dies before the fourth link of its hop
    workers.stop_all()
    flag = tmp_path / "flag"
    kill = f"between_links@1/3=kill:{flag}"
    worker = workers.start(immortal=True, BATON_STICKY_MILLISECONDS="60000", BATON_FAULT_POINTS=kill, **settings)
    run = runs.submit({"steps": 8})
    # When it is started again, Then the run goes on from the fourth step and nothing runs twice
    runs.wait(run, seconds=20)
    assert flag.exists() and worker.exit_codes == [-signal.SIGKILL]
    assert runs.types(run).count("step_succeeded") == 8
    runs.check(run)


def test_a_step_that_was_claimed_along_reads_what_the_steps_before_it_made(workers: Workers, runs: Runs) -> None:
    # Given three quick steps of which each reads the input and those before it, in one hop
    workers.stop_all()
    worker = workers.start(BATON_STICKY_MILLISECONDS="60000")
    run = runs.submit({"start": 10}, "counts")
    # Then nothing is missing: 11, then 11 + 11, then 11 + 11 + 22
    runs.wait(run)
    assert runs.column(run, "output") == {"sum": 44}
    assert worker.received() == 1


@pytest.mark.parametrize("point", ["between_links@1/3", "after_commit@3"])
def test_a_lease_that_came_along_is_given_back_when_the_hop_breaks(
    workers: Workers, runs: Runs, tmp_path: Path, point: str
) -> None:
    # Given a hop in which something breaks after a commit that claimed the next step, while its worker lives on
    workers.stop_all()
    flag = tmp_path / "flag"
    worker = workers.start(BATON_STICKY_MILLISECONDS="60000", BATON_FAULT_POINTS=f"{point}=error:{flag}")
    run = runs.submit({"steps": 8})
    # Then nobody waits for the lease's end, two minutes away: the fourth step runs at once, and nothing twice
    runs.wait(run, seconds=10)
    assert flag.exists() and not worker.exit_codes
    assert "lease_given_back" in worker.output()
    assert runs.types(run).count("step_succeeded") == 8
    runs.check(run)
