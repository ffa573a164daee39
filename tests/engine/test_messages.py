"""Messages are hints: forged, stale, doubled, lost, out of order, none of it changes what is run."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import redis
from pydantic import SecretStr

from chains import message
from chains.cancel import cancel
from chains.message import ForgedMessage, Message, read, task_id
from chains.send import Segment, _publish, links, producer, send
from errors import WrongState
from settings import SettingsError
from storage import broker
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers


def segment(runs: Runs, run: UUID, no: int = 1) -> Segment:
    keys, nodes, attempt, queue = runs.rows(
        "SELECT keys, nodes, attempt, queue FROM segments WHERE run_id = %s AND no = %s", run, no
    )[0]
    return Segment(runs.tenant, run, no, 0, tuple(keys), tuple(nodes), attempt, queue)


def test_a_task_id_is_a_function_of_run_step_and_attempt() -> None:
    """Given the same execution, when its id is made again, then it is the same one, and no other's."""
    run = UUID(int=1)
    assert task_id(run, "a", 1) == task_id(run, "a", 1)
    assert len({task_id(run, "a", 1), task_id(run, "a", 2), task_id(run, "b", 1), task_id(UUID(int=2), "a", 1)}) == 4


@pytest.mark.parametrize("field", ["run", "tenant", "segment", "pos", "attempt", "sig"])
def test_a_changed_field_breaks_the_signature(engine_env: None, field: str) -> None:
    """Given a signed message, when any of its fields or its task's name changes, then it is refused."""
    signed = Message(UUID(int=1), UUID(int=2), 1, 0, 1, "t.note")
    said = signed.kwargs()
    assert read("t.note", said) == signed
    changed: Any = str(UUID(int=9)) if field in ("run", "tenant") else 7 if field != "sig" else "AAAA"
    with pytest.raises(ForgedMessage):
        read("t.note", {**said, field: changed})
    with pytest.raises(ForgedMessage):
        read("t.other", said)
    with pytest.raises(ForgedMessage):
        read("t.note", {})
    with pytest.raises(ForgedMessage):
        read("t.note", {**said, "sig": "half of a pair: \ud800"})


def test_without_a_secret_nothing_is_signed_and_nothing_believed(
    engine_env: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = Message(UUID(int=1), UUID(int=2), 1, 0, 1, "t.note").kwargs()
    without = message.settings().model_copy(update={"secret": SecretStr("")})
    monkeypatch.setattr(message, "settings", lambda: without)
    message._key.cache_clear()
    try:
        with pytest.raises(SettingsError):
            Message(UUID(int=1), UUID(int=2), 1, 0, 1, "t.note").kwargs()
        with pytest.raises(SettingsError):
            read("t.note", signed)
    finally:
        message._key.cache_clear()


def test_a_forged_message_is_refused(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run whose next step is due, when a message names it without our signature, then nothing is executed."""
    run = runs.submit({"seconds": 1}, "slow")
    forged = {**Message(runs.tenant, run, 1, 1, 1, "t.slow").kwargs(), "sig": "AAAAAAAAAAAAAAAAAAAAAA"}
    producer().send_task("t.slow", kwargs=forged, queue="agents", ignore_result=True)
    runs.until(lambda: "message_refused" in worker.output(), 10, "it was not refused")
    runs.wait(run)
    runs.check(run)


def test_a_message_with_the_tail_of_another_is_refused(workers: Workers, runs: Runs) -> None:
    """Given a signed message to which the signed tail of another run was glued, then no run does the other's steps."""
    workers.stop_all()
    mine, other = runs.submit({"steps": 8}), runs.submit({"steps": 8})
    runs.until(lambda: broker.queue_lengths(["agents"]) == {"agents": 2}, 10, "they were not sent")
    producer().control.purge()
    first, tail = links(segment(runs, mine))[0], links(segment(runs, other))[:0:-1]
    _publish(first, tail, mine, None)
    worker = workers.start(BATON_STICKY_MILLISECONDS="60000")
    runs.until(lambda: "message_refused" in worker.output(), 10, "it was not refused")
    for run in (mine, other):
        runs.wait(run)
        assert runs.types(run).count("step_succeeded") == 8
        runs.check(run)


def test_a_doubled_message_is_run_once(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run, when each of its messages is sent five times, early, late and at once, then each step runs once."""
    run = runs.submit({"steps": 8, "sleep_ms": 20})
    every = links(segment(runs, run))
    for _ in range(5):
        for link in every:
            link.clone().apply_async(retry=False)
    runs.wait(run)
    for link in every:
        link.clone().apply_async(retry=False)
    assert [one["attempt"] for one in runs.steps(run).values()] == [1] * 8
    assert runs.types(run).count("step_started") == 8
    runs.check(run)


def test_a_stale_attempt_is_refused(worker: WorkerProcess, runs: Runs) -> None:
    """Given a step that was retried, when the first attempt's message comes again, then it is not executed."""
    run = runs.submit({"failures": 1}, "flaky")
    runs.wait(run)
    before = runs.column(run, "seq")
    send([segment(runs, run, 1), segment(runs, run, 2)])
    probe = runs.submit({"steps": 1})
    runs.wait(probe)
    assert runs.column(run, "seq") == before
    runs.check(run)


def test_a_lost_message_is_sent_again(workers: Workers, runs: Runs, redis_client: redis.Redis) -> None:
    """Given a run whose message was deleted, when its queue is empty, then it is sent again within 4 s."""
    workers.shared()  # a Redis that no sweep has marked yet counts as one that lost its memory: another rescue
    runs.until(lambda: redis_client.exists(broker.MARKER_KEY) == 1, 10, "no sweep has marked Redis")
    workers.stop_all()
    run = runs.submit({"steps": 2})
    runs.until(lambda: redis_client.llen("agents") > 0, 5, "nothing was sent")
    redis_client.delete("agents")
    worker = workers.shared()
    runs.wait(run, seconds=4)
    assert "message_lost" in worker.output()
    runs.check(run)


def test_an_overtaken_message_is_sent_again(workers: Workers, runs: Runs, redis_client: redis.Redis) -> None:
    """Given a queue that is never empty, when a message was swallowed, then one that was sent later gives it away."""
    workers.stop_all()
    lost = runs.submit({"steps": 1})
    runs.until(lambda: redis_client.llen("agents") > 0, 5)
    redis_client.delete("agents")
    others = [runs.submit({"steps": 8, "sleep_ms": 300}) for _ in range(30)]
    workers.shared()
    runs.wait(lost, seconds=30)
    assert any(runs.status(one) != "completed" for one in others), "the queue was empty before"
    runs.check(lost)
    for one in others:
        with suppress(WrongState):
            cancel(runs.tenant, one)
    for one in others:
        runs.wait(one, "cancelled", "completed")


def test_a_message_that_merely_waits_is_not_sent_again(workers: Workers, runs: Runs, redis_client: redis.Redis) -> None:
    """Given a long queue, when a step that was sent twice runs by its older message, then nothing seems overtaken."""
    workers.stop_all()
    twice, *others = [runs.submit({"steps": 1, "sleep_ms": 1200}) for _ in range(32)]
    runs.until(lambda: redis_client.llen("agents") >= 32, 10)
    with runs.db.cursor() as cursor:
        earlier = "UPDATE segments SET sent_at = now() - interval '10 s' WHERE tenant_id = %s"
        cursor.execute(earlier, (str(runs.tenant),))
        later = "UPDATE segments SET sent_at = now() + interval '5 s', sends = 2 WHERE run_id = %s"
        cursor.execute(later, (str(twice),))
    worker = workers.shared()
    for run in (twice, *others):
        runs.wait(run, seconds=30)
        runs.check(run)
    lost = [line for line in worker.output().splitlines() if "message_lost" in line]
    assert not [line for line in lost if any(str(run) in line for run in others)]


def test_messages_in_any_order(workers: Workers, runs: Runs, redis_client: redis.Redis) -> None:
    """Given waiting messages, when their order is turned around, then every run completes."""
    workers.stop_all()
    several = [runs.submit({"steps": 3, "fan_out": 2}) for _ in range(10)]
    runs.until(lambda: redis_client.llen("agents") >= 10, 5)
    messages = redis_client.lrange("agents", 0, -1)
    redis_client.delete("agents")
    redis_client.rpush("agents", *reversed(messages))
    workers.shared()
    for run in several:
        runs.wait(run)
        runs.check(run)


def test_a_broker_that_forgot_everything(worker: WorkerProcess, runs: Runs, redis_client: redis.Redis) -> None:
    """Given runs under way, when Redis is flushed again and again, then all of them complete."""
    several = [runs.submit({"steps": 6, "sleep_ms": 100, "fan_out": 2}) for _ in range(12)]
    for count in (1, 3, 5):
        runs.wait_event(several[0], "step_succeeded", count=count)
        redis_client.flushall()
    for run in several:
        runs.wait(run, seconds=30)
        runs.check(run)


def test_a_message_is_small(engine_env: None, runs: Runs, workers: Workers, redis_client: redis.Redis) -> None:
    """Given a run of 1,000 steps, when its first segment is sent, then the message has at most 5 KB with its tail."""
    workers.stop_all()
    run = runs.submit({"steps": 1000})
    runs.until(lambda: redis_client.llen("agents") > 0, 5)
    (message,) = [one for one in redis_client.lrange("agents", 0, -1) if str(run).encode() in one]
    assert len(message) <= 5120, len(message)
    assert json.loads(message)["headers"]["task"] == "probe.work"
    redis_client.delete("agents")
    cancel(runs.tenant, run)
