"""Who can write to Redis, and has not our secret, gets nothing done: no step, no maintenance, no worker stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis

from beat_schedule import SCHEDULE
from chains.message import ForgedMessage, Message, Slot, read_slot
from chains.send import links, producer
from storage.tables import uuid7
from tasks import app
from tasks.hop import NodeTask
from tests.engine.conftest import Runs
from tests.engine.test_messages import segment
from tests.engine.workers import WorkerProcess

Json = Any
CELERYS_OWN = {
    "celery.map": {"task": {"task": "upkeep.retention", "args": [], "kwargs": {}}, "it": [1, 2]},
    "celery.group": {"tasks": [], "result": [str(uuid4()), None], "group_id": str(uuid4()), "partial_args": []},
    "celery.chord_unlock": {"group_id": str(uuid4()), "callback": {"task": "upkeep.retention"}},
    "celery.backend_cleanup": {},
}


def push(client: redis.Redis, queue: str, task: str, kwargs: Json, embed: Json = None, **headers: Json) -> None:
    """Lay a message into a queue by hand, in the form of Celery's protocol."""
    ident = headers.get("id") or str(uuid4())
    message = {
        "body": json.dumps([[], kwargs, embed or {}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": ident, "root_id": ident, "retries": 0, "timelimit": [None, None],
                    **headers},
        "properties": {
            "correlation_id": ident, "delivery_mode": 2, "delivery_tag": ident, "priority": 0, "body_encoding": None,
            "delivery_info": {"exchange": "", "routing_key": queue},
        },
    }  # fmt: skip
    client.lpush(queue, json.dumps(message))


def forged_slots() -> Iterator[tuple[str, Json]]:
    """Maintenance that nobody of ours ordered, by name."""
    now = datetime.now(UTC)
    genuine = Slot(now, "upkeep.partitions").kwargs()
    yield "without a signature", {}
    yield "with another task's signature", genuine
    yield "with another time", {**genuine, "fire_at": (now - timedelta(minutes=1)).isoformat()}
    yield "with a step's signature", Message(uuid7(), uuid7(), 1, 0, 1, "upkeep.retention").kwargs()
    yield "with a number for a time", {"fire_at": 7, "sig": "AAAA"}


def test_forged_messages_of_every_kind_do_nothing(worker: WorkerProcess, runs: Runs, redis_client: redis.Redis) -> None:
    # Given a run that is over, one whose second step is not due yet, and what was logged and ordered up to now
    over, under_way = runs.submit({"steps": 3}), runs.submit({"seconds": 2}, "slow")
    runs.wait(over)
    runs.wait_event(under_way, "step_started")
    refused, seq = worker.output().count("message_refused"), runs.column(over, "seq")
    slots = runs.rows("SELECT count(*) FROM slots")
    # When forged messages of every kind are laid into the queues
    mine = Message(runs.tenant, under_way, 1, 1, 1, "t.slow")
    steps: dict[str, tuple[str, Json]] = {
        "another tenant's id": ("t.slow", {**mine.kwargs(), "tenant": str(uuid7())}),
        "another run": ("t.slow", {**mine.kwargs(), "run": str(over)}),
        "another place": ("t.slow", {**mine.kwargs(), "pos": 0}),
        "another task": ("t.note", mine.kwargs()),
        "no signature": ("t.slow", {name: value for name, value in mine.kwargs().items() if name != "sig"}),
        "an empty one": ("t.slow", {**mine.kwargs(), "sig": ""}),
        "one that is no text": ("t.slow", {**mine.kwargs(), "sig": {"$": 1}}),
        "nothing": ("t.slow", {}),
    }
    for task, said in steps.values():
        push(redis_client, "agents", task, said)
    wrong_slots = list(forged_slots())
    for _, said in wrong_slots:
        push(redis_client, "maintenance", "upkeep.retention", said)
        push(redis_client, "agents", "upkeep.retention", said)
    for task in CELERYS_OWN:
        push(redis_client, "agents", task, CELERYS_OWN[task])
    push(redis_client, "agents", "os.system", {"command": "true"})
    for link in links(segment(runs, over)):  # genuine, and done long ago; what it is to call afterwards is not signed
        after = {
            "task": "upkeep.retention",
            "args": [],
            "kwargs": {},
            "options": {"queue": "agents"},
            "immutable": True,
        }
        push(redis_client, "agents", link["task"], link["kwargs"], {"callbacks": [after]})
    # Then all that claim to be ours are refused by their signature
    expected = refused + len(steps) + 2 * len(wrong_slots) + 3
    runs.until(lambda: worker.output().count("message_refused") >= expected, 15, "not all of them were refused")
    # And the worker goes on, and nothing else has happened
    assert runs.wait(runs.submit({"steps": 3})) == "completed"
    runs.wait(under_way, seconds=20)
    assert worker.output().count("message_refused") == expected
    assert runs.column(over, "seq") == seq
    assert runs.rows("SELECT count(*) FROM slots") == slots
    assert "runs_retired" not in worker.output()
    for name in CELERYS_OWN:
        assert f"Received unregistered task of type '{name}'" in worker.output()
    for run in (over, under_way):
        runs.check(run)


GARBAGE = ("garbage", "[1]", "{}", "[" * 100_000, '{"headers": {}, "properties": {}, "body": 7}')


def test_garbage_ends_no_worker(worker: WorkerProcess, runs: Runs, redis_client: redis.Redis) -> None:
    # Given what is no message, and one that names no task
    redis_client.lpush("agents", *GARBAGE)
    push(redis_client, "agents", ["t.note"], {})  # type: ignore[arg-type]
    # When the worker comes to it, then it goes on with what comes after
    runs.wait(runs.submit({"steps": 2}))
    assert worker.child is not None and worker.child.poll() is None
    assert worker.output().count("message_unreadable") >= 3


def test_a_genuine_slot_is_done_once(worker: WorkerProcess, runs: Runs, redis_client: redis.Redis) -> None:
    # Given messages of beat for two slots, one of them long ago
    now = Slot(datetime.now(UTC), "upkeep.lost_calls")
    old = Slot(now.fire_at - timedelta(days=2), "upkeep.lost_calls")
    # When each of them comes three times
    for slot in (now, old) * 3:
        push(redis_client, "maintenance", slot.task, slot.kwargs())
    # Then the first of the one is done, and all others are over
    runs.until(lambda: worker.output().count("slot_is_over") >= 5, 15, "they were not taken")
    assert runs.rows("SELECT count(*) FROM slots WHERE fire_at = %s", now.fire_at) == [(1,)]
    assert runs.rows("SELECT count(*) FROM slots WHERE fire_at = %s", old.fire_at) == [(0,)]


def test_a_slots_signature_covers_time_and_task(engine_env: None) -> None:
    slot = Slot(datetime.now(UTC), "upkeep.retention")
    assert read_slot(slot.task, slot.kwargs()) == slot
    with pytest.raises(ForgedMessage):
        read_slot("upkeep.partitions", slot.kwargs())
    for _, said in forged_slots():
        with pytest.raises(ForgedMessage):
            read_slot(slot.task, said)


def test_remote_control_only_looks(worker: WorkerProcess, runs: Runs) -> None:
    # Given a worker with a step under way
    run = runs.submit({"seconds": 3}, "slow")
    runs.wait_event(run, "step_started")
    control = producer().control
    # When it is told to stop, to take other queues, to forget the step
    control.shutdown()
    control.pool_shrink(7)
    control.cancel_consumer("agents")
    control.add_consumer("forged")
    control.rate_limit("t.slow", "1/h")
    control.revoke(links(segment(runs, run))[0]["options"]["task_id"], terminate=True)
    # Then it does none of it, and still answers who looks
    told = control.inspect(timeout=1.5).stats()
    ((_, stats),) = told.items()
    assert stats["pid"] == worker.pid and stats["pool"]["max-concurrency"] == 8
    ((_, queues),) = control.inspect(timeout=1.5).active_queues().items()
    assert {queue["name"] for queue in queues} == {"agents", "tools", "maintenance"}
    runs.wait(run)
    assert {step["attempt"] for step in runs.steps(run).values()} == {1}
    runs.check(run)


def test_no_header_and_no_worker_takes_a_step_back(
    worker: WorkerProcess, runs: Runs, redis_client: redis.Redis
) -> None:
    # Given a run whose last step will be a message of its own, under an id that anybody can work out
    run = runs.submit({"seconds": 2}, "slow")
    runs.wait_event(run, "step_started")
    refused = worker.output().count("message_refused")
    last = links(segment(runs, run))[-1]
    ident = last["options"]["task_id"]
    # When a forged message of this id says that it has expired, and a forged worker that it was revoked
    push(redis_client, "agents", last["task"], {}, id=ident, expires="2001-01-01T00:00:00+00:00")
    producer().control.broadcast("hello", arguments={"from_node": "forged@host", "revoked": [ident]})
    # Then the message is looked at like any other, and the step is executed when its time comes
    runs.until(lambda: worker.output().count("message_refused") > refused, 10, "it was not looked at")
    assert runs.wait(run) == "completed"
    assert not producer().control.inspect(timeout=1.5).revoked().popitem()[1]
    assert {step["attempt"] for step in runs.steps(run).values()} == {1}
    runs.check(run)


def test_arguments_are_shown_without_their_signature(
    worker: WorkerProcess, runs: Runs, redis_client: redis.Redis
) -> None:
    # Given who listens to task events, as Flower does, and steps: one alone, and several in a hop
    with redis_client.pubsub() as listening:
        listening.psubscribe("/0.celeryev/*")
        run, quick = runs.submit({"seconds": 4}, "slow"), runs.submit({"steps": 3})
        runs.wait_event(run, "step_started")
        active: list[str] = []

        def is_active() -> bool:  # the worker's loop hears a moment later of what its threads have begun
            active.append(json.dumps(producer().control.inspect(timeout=1).active()))
            return str(run) in active[-1]

        runs.until(is_active, 10, "the worker does not show what it works on")
        heard: list[str] = []

        def all_heard() -> bool:
            message = listening.get_message(timeout=0.2)
            if message and message["type"] == "pmessage":
                heard.append(json.dumps(json.loads(message["data"])["body"]))
            return "".join(heard).count("task-received") >= 4

        runs.until(all_heard, 15, "no task events came")
    # Then the arguments say which step of which run, and have no signature
    told = "".join(heard)
    assert str(run) in told and str(quick) in told and "segment" in told
    assert "sig" not in told
    assert "sig" not in "".join(active)
    runs.wait(run)


def test_every_task_believes_signed_messages_only(engine_env: None) -> None:
    # Given all tasks of a worker but Celery's own, which are taken away when it starts
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert {entry["task"] for entry in SCHEDULE.values()} <= set(ours)
    # Then each is a node, whose life begins with the signature, or maintenance, which wants a slot's
    unsigned = [
        name for name, task in ours.items() if not isinstance(task, NodeTask) and task.__module__ != "tasks.upkeep"
    ]
    assert not unsigned
    for name in (name for name, task in ours.items() if not isinstance(task, NodeTask)):
        assert ours[name].run.__qualname__ == "maintenance.<locals>.register.<locals>.execute", name
