"""Workers that freeze, stop, or are taken along by a step: nobody waits for a lease to end, and no zombie writes."""

from __future__ import annotations

import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import crontab

from chains import catalog
from chains.cancel import cancel
from chains.resume import resume
from chaos.effect_server import EffectServer
from storage.embedded import redis as embedded_redis
from tasks.beat import SlotScheduler, take_slot
from tests.conftest import Servers
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers


def test_a_zombie_cannot_commit(workers: Workers, runs: Runs, effect_server: EffectServer) -> None:
    """Given a worker that freezes past its lease, when another took over and it thaws, then it writes nothing."""
    workers.stop_all()
    frozen = workers.start()
    run = runs.submit({"steps": 2, "sleep_ms": 800, "effect": "at_most_once"})
    runs.wait_event(run, "step_started", "1")
    frozen.signal(signal.SIGSTOP)
    workers.start()
    runs.wait(run, seconds=20)
    frozen.signal(signal.SIGCONT)
    back = ("lease_given_back", "commit_fenced", "step_retried")
    runs.until(lambda: any(word in frozen.output() for word in back), 10, "the zombie did not come back")
    assert runs.steps(run)["1"]["losses"] == 1
    assert [len(posts) for posts in effect_server.of_run(run).values()] == [1, 1]
    assert [one["data"]["reason"] for one in runs.events(run) if one["type"] == "step_rescued"] == ["worker_lost"]
    runs.check(run)


def test_a_deaf_zombie_cannot_commit(workers: Workers, runs: Runs) -> None:
    """Given a node that hears nothing, when its worker freezes past its lease and thaws, then its commit is fenced."""
    workers.stop_all()
    frozen = workers.start()
    run = runs.submit({"seconds": 1.0}, "deaf")
    runs.wait_event(run, "step_started", "deaf")
    frozen.signal(signal.SIGSTOP)
    workers.start()
    runs.wait(run, seconds=20)
    seq = runs.column(run, "seq")
    frozen.signal(signal.SIGCONT)
    runs.until(lambda: "commit_fenced" in frozen.output(), 10, "the zombie did not try")
    assert runs.column(run, "seq") == seq
    assert runs.steps(run)["deaf"]["attempt"] == 2
    runs.check(run)


def test_a_worker_frozen_within_a_transaction_holds_nobody_up(workers: Workers, runs: Runs, flag: Path) -> None:
    """Given a worker that freezes while it holds a run's lock, when its time is up, then the run goes on elsewhere."""
    workers.stop_all()
    frozen = workers.start(BATON_FAULT_POINTS=f"in_join@struck=stop:{flag}")
    run = runs.submit({"at": "struck"}, "killed_join")
    runs.until(flag.exists, 10, "the fault did not strike")
    other = runs.submit({"steps": 2})
    workers.start()
    runs.wait(other, seconds=10)
    runs.wait(run, seconds=15)
    frozen.signal(signal.SIGCONT)
    probe = runs.submit({"steps": 3, "fan_out": 8})
    runs.wait(probe)
    runs.check(run)


def test_a_stop_waits_for_running_nodes(workers: Workers, runs: Runs) -> None:
    """Given a node that takes a second, when its worker is told to stop, then the node ends and the worker after it."""
    workers.stop_all()
    stopped = workers.start()
    run = runs.submit({"seconds": 1.0}, "deaf")
    runs.wait_event(run, "step_started", "deaf")
    stopped.signal(signal.SIGTERM)
    assert stopped.wait(10) == 0
    assert runs.steps(run)["deaf"]["status"] == "succeeded"
    assert runs.rows("SELECT count(*) FROM workers WHERE starts_with(name, %s)", f"{stopped.name}@") == [(0,)]
    workers.start()
    runs.wait(run)
    assert [one["attempt"] for one in runs.steps(run).values()] == [1, 1, 1]
    runs.check(run)


def test_a_stop_gives_leases_back_at_once(workers: Workers, runs: Runs) -> None:
    """Given a node that takes long, when the worker's patience is over, then the lease goes back without a loss."""
    workers.stop_all()
    stopped = workers.start(BATON_DRAIN_SECONDS="1")
    run = runs.submit({"seconds": 4}, "deaf")
    runs.wait_event(run, "step_started", "deaf")
    stopped.signal(signal.SIGTERM)
    began = time.monotonic()
    assert stopped.wait(4) == 0
    assert time.monotonic() - began <= 3
    assert [one["data"]["reason"] for one in runs.events(run) if one["type"] == "step_rescued"] == ["drained"]
    workers.start()
    runs.wait(run, seconds=15)
    assert (runs.steps(run)["deaf"]["losses"], runs.steps(run)["deaf"]["attempt"]) == (0, 2)
    runs.check(run)


def test_a_rolling_restart_loses_nothing(workers: Workers, runs: Runs) -> None:
    """Given runs under way, when both workers are stopped and started again in turn, then no step was lost."""
    workers.stop_all()
    two = [workers.start(immortal=True) for _ in range(2)]
    several = [runs.submit({"steps": 12, "sleep_ms": 100, "fan_out": 3}) for _ in range(10)]
    for number, one in enumerate(two, 1):
        one.signal(signal.SIGTERM)
        _wait_for_ends(runs, two, number)
    for run in several:
        runs.wait(run, seconds=30)
        assert {one["losses"] for one in runs.steps(run).values()} == {0}
        runs.check(run)


def _wait_for_ends(runs: Runs, several: list[WorkerProcess], count: int) -> None:
    runs.until(lambda: sum(len(one.exit_codes) for one in several) == count, 15, "it did not stop")


def test_a_restarted_redis_costs_no_worker(workers: Workers, runs: Runs, servers: Servers) -> None:
    """Given a busy worker, when Redis ends and comes back, then the same process works on."""
    worker = workers.shared()
    several = [runs.submit({"steps": 40, "sleep_ms": 50}) for _ in range(6)]
    for round in (1, 2):
        runs.wait_event(several[0], "step_succeeded", count=3 * round)
        embedded_redis.stop(servers.data_dir)
        embedded_redis.start(servers.data_dir)
    for run in several:
        runs.wait(run, seconds=40)
        runs.check(run)
    assert worker.child is not None and worker.child.poll() is None, worker.output()[-3000:]


def test_poison_is_isolated_and_set_aside(workers: Workers, runs: Runs, tmp_path: Path) -> None:
    """Given a step that takes its worker with it, when it did so twice, then it runs isolated, then no more."""
    workers.stop_all()
    plain = [workers.start(immortal=True) for _ in range(2)]
    isolated = workers.start(pool="prefork", concurrency=1, queues="isolated")
    run = runs.submit({"antidote": str(tmp_path / "antidote")}, "poison")
    runs.wait(run, "failed", seconds=30)
    assert runs.column(run, "error")["code"] == "poison_step"
    assert runs.steps(run)["poison"]["losses"] == 3
    assert [row[0] for row in runs.rows("SELECT queue FROM segments WHERE run_id = %s ORDER BY no", run)] == [
        "agents",
        "agents",
        "isolated",
    ]
    assert sum(len(one.exit_codes) for one in plain) == 2
    assert isolated.child is not None and isolated.child.poll() is None, "the isolated worker itself lives on"
    (tmp_path / "antidote").touch()
    resume(runs.tenant, run)
    runs.wait(run, seconds=20)
    assert runs.steps(run)["poison"]["attempt"] == 4
    runs.check(run)


def test_a_slot_fires_once(engine_env: None) -> None:
    """Given two beats, when they reach the same slot at once, then one of them fires."""
    won: list[bool] = []
    schedule, at = f"test-{uuid4()}", datetime.now(UTC)
    beats = [threading.Thread(target=lambda: won.append(take_slot(schedule, at))) for _ in range(6)]
    for beat in beats:
        beat.start()
    for beat in beats:
        beat.join()
    assert sorted(won) == [False] * 5 + [True]


def test_two_beats_fire_once(workers: Workers, engine_env: None, tmp_path: Path, redis_client: redis.Redis) -> None:
    """Given two beats with the same schedule, when both reach a slot, then one message is sent."""
    workers.stop_all()
    redis_client.delete("agents")
    app = Celery("beats", config_source="celeryconfig", set_as_current=False)
    beats = [SlotScheduler(app=app, schedule_filename=str(tmp_path / name), lazy=True) for name in ("one", "two")]
    entry = ScheduleEntry(f"every-{uuid4()}", "upkeep.nothing", schedule=crontab(), app=app)
    now = datetime.now(UTC)
    if now.second > 55:  # both are to reach the same minute
        time.sleep(60 - now.second)
    for beat in beats:
        beat.setup_schedule()
        beat.schedule[entry.name] = entry
        beat.apply_async(entry)
        beat.close()
    assert redis_client.llen("agents") == 1
    redis_client.delete("agents")


def test_a_run_whose_chain_is_broken_hides_no_other_and_can_be_cancelled(workers: Workers, runs: Runs) -> None:
    """Given runs that their chain's code cannot build any more, when workers and the sweep meet them, others go on."""
    workers.stop_all()
    queued, idle, sound = (runs.submit({"steps": 2}) for _ in range(3))
    with runs.db.cursor() as cursor:
        cursor.execute("UPDATE runs SET facts = '{}' WHERE id IN (%s, %s)", (str(queued), str(idle)))
        # two of them stand still with nothing to run: the sweep's backstop finds them
        cursor.execute("DELETE FROM segments WHERE run_id IN (%s, %s)", (str(idle), str(sound)))
    workers.shared()
    runs.wait(sound)
    runs.wait_event(queued, "step_rescued", "1")
    for broken in (queued, idle):
        assert runs.status(broken) == "running"
        assert runs.steps(broken).get("1", {"losses": 0})["losses"] == 0
        cancel(runs.tenant, broken)
        runs.wait(broken, "cancelled")


def test_a_run_whose_chain_cannot_be_built_is_not_accepted(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug of the chain's author")

    monkeypatch.setattr(catalog, "definition", broken)
    with pytest.raises(KeyError):
        runs.submit({"steps": 2})
    assert runs.rows("SELECT count(*) FROM runs WHERE tenant_id = %s", runs.tenant) == [(0,)]


def test_a_run_of_a_newer_version_is_left_alone(workers: Workers, runs: Runs) -> None:
    """Given a run of a chain version that this worker lacks, when it comes by, then it is neither run nor failed."""
    workers.stop_all()
    run = runs.submit({"steps": 2})
    with runs.db.cursor() as cursor:
        cursor.execute("UPDATE runs SET chain_version = '99' WHERE id = %s", (str(run),))
    workers.shared()
    other = runs.submit({"steps": 2})
    runs.wait(other)
    time.sleep(1)
    assert runs.status(run) == "running"
    assert not [one for one in runs.steps(run).values() if one["status"] in ("succeeded", "failed")]
    with runs.db.cursor() as cursor:
        cursor.execute("UPDATE runs SET chain_version = '1' WHERE id = %s", (str(run),))
    runs.wait(run, seconds=15)
    runs.check(run)
