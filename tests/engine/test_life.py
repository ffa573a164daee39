"""A run goes through: lines, joins, loops, computed fan-outs, payloads of any size, and a result for Celery clients."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from celery import Celery
from psycopg2.extensions import connection as Connection

from storage import blobs
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


def test_a_line_runs_in_order(worker: WorkerProcess, runs: Runs) -> None:
    """Given a probe of 20 steps, when it runs, then each step has succeeded once, in order, over several segments."""
    run = runs.submit({"steps": 20})
    runs.wait(run)
    assert runs.column(run, "output") == {"executed": [str(no) for no in range(1, 21)], "effects": 0}
    assert runs.rows("SELECT count(*) FROM segments WHERE run_id = %s", run) == [(3,)]
    types = runs.types(run)
    assert types[:3] == ["run_accepted", "run_started", "step_started"]
    assert types[-1] == "run_completed"
    assert types.count("step_started") == types.count("step_succeeded") == 20
    runs.check(run)


def test_branches_are_joined(worker: WorkerProcess, runs: Runs) -> None:
    """Given 12 branches, when they run at once, then the join runs once, after all of them."""
    run = runs.submit({"steps": 1, "fan_out": 12})
    runs.wait(run)
    executed = runs.column(run, "output")["executed"]
    assert executed[0] == "1" and executed[-1] == "join"
    assert sorted(executed[1:-1]) == sorted(f"branch[{no}]" for no in range(12))
    runs.check(run)


def test_many_runs_at_once(worker: WorkerProcess, runs: Runs) -> None:
    """Given 40 runs with joins, when they run side by side, then every one completes in order."""
    several = [runs.submit({"steps": 3, "fan_out": 3}) for _ in range(40)]
    for run in several:
        runs.wait(run, seconds=30)
        runs.check(run)


def test_a_loop_ends_when_its_condition_holds(worker: WorkerProcess, runs: Runs) -> None:
    """Given a repeat until the score is 3, when it runs, then there were three rounds and then the rest."""
    run = runs.submit(chain="loop")
    runs.wait(run)
    assert runs.column(run, "output")["executed"] == ["round#1/score", "round#2/score", "round#3/score", "note"]


def test_a_computed_fan_out_gives_a_list_by_index(worker: WorkerProcess, runs: Runs) -> None:
    """Given a fan-out over facts, when it is joined, then the outputs stand in the order of the items."""
    run = runs.submit({"items": ["x", "y", "z", "w"]}, "computed")
    runs.wait(run)
    assert runs.column(run, "output")["item"] == [{"item": name} for name in ("x", "y", "z", "w")]


def test_a_computed_fan_out_over_nothing_goes_on(worker: WorkerProcess, runs: Runs) -> None:
    """Given no items, when the run comes to the fan-out, then it goes on at once."""
    run = runs.submit({"items": []}, "computed")
    runs.wait(run)
    runs.check(run)


def test_a_large_output_lies_in_the_blob_store(worker: WorkerProcess, runs: Runs) -> None:
    """Given an output of 200 KB, when the next node reads it, then it finds all of it, and the row has a reference."""
    run = runs.submit({"bytes": 200_000}, "big")
    runs.wait(run)
    assert runs.column(run, "output") == {"length": 200_000, "bytes": 200_000}
    row = runs.steps(run)["big"]
    assert row["output"] is None
    assert len(blobs.get(row["output_ref"])) > 200_000


def test_a_large_result_of_the_run_lies_there_too(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run whose output is 100 KB, when it completes, then the run has a reference instead of the output."""
    run = runs.submit({}, "big_last")
    runs.wait(run)
    assert runs.column(run, "output") is None
    assert len(blobs.get(runs.column(run, "output_ref"))) > 100_000


def test_the_result_is_where_celery_clients_look(worker: WorkerProcess, runs: Runs) -> None:
    """Given a Celery client, when it asks for the run's id, then it gets the output, or the error of a failed run."""
    client = Celery(config_source="celeryconfig", set_as_current=False)
    good, bad = runs.submit({"steps": 2}), runs.submit({}, "final")
    assert client.AsyncResult(str(good)).get(timeout=15)["executed"] == ["1", "2"]
    runs.wait(bad, "failed")
    result = client.AsyncResult(str(bad))
    runs.until(result.ready, 5)
    assert result.state == "FAILURE"
    assert "bad_idea" in str(result.result)


def test_celery_commands_reach_the_worker(worker: WorkerProcess, runs: Runs) -> None:
    """Given a worker, when Celery's own control asks, then it answers, and lists agents under their own names."""
    client = Celery(config_source="celeryconfig", set_as_current=False)
    inspect = client.control.inspect(timeout=3)
    runs.until(lambda: bool(inspect.ping()), 10)
    registered = next(iter(inspect.registered().values()))
    assert {"probe.work", "script.write", "t.note"} <= {name.split(" ")[0] for name in registered}


def test_another_tenants_run_is_not_there(
    worker: WorkerProcess, runs: Runs, app_db: Callable[[UUID | None], Connection]
) -> None:
    """Given a run, when another tenant looks, then there is none."""
    run = runs.submit({"steps": 1})
    runs.wait(run)
    with app_db(UUID(int=7)).cursor() as cursor:
        cursor.execute("SELECT count(*) FROM steps WHERE run_id = %s", (str(run),))
        assert cursor.fetchone() == (0,)
