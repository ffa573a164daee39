"""The faults, by name: each is a function that does harm to an instance and says what it did.

A fault returns when the harm is done (a frozen process has thawed, a rolling restart is over); mending is the
instance's own business.
"""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias

import psycopg2
import redis

from chaos.instance import Instance

QUEUE = "agents"


@dataclass
class Struck:
    """A run that a fault hit at this moment: when it goes on is the measure. kind: "kill", "freeze" or "message"."""

    kind: str
    fault: str
    run_id: str
    at: datetime


@dataclass
class Harm:
    """What the faults know and leave behind. slow: scales how long things stay frozen (the small version: below 1)."""

    instance: Instance
    rng: random.Random
    slow: float = 1.0
    frozen: threading.Event = field(default_factory=threading.Event)
    redis_was_frozen: bool = False
    struck: list[Struck] = field(default_factory=list)

    @contextmanager
    def freeze(self, name: str, seconds: float) -> Any:
        """SIGSTOP, wait, SIGCONT."""
        self.frozen.set()
        try:
            pid = self.instance.signal(name, signal.SIGSTOP)
            yield pid
            time.sleep(seconds)
        finally:
            self.instance.signal(name, signal.SIGCONT)
            self.frozen.clear()

    def note(self, fault: str, *workers: str, kind: str = "kill") -> None:
        """Remember the runs whose steps these workers hold right now."""
        try:
            db = self.instance.keeper()
        except psycopg2.Error:
            return
        with db.cursor() as cursor:
            cursor.execute(
                "SELECT s.run_id::text, now() FROM segments s JOIN workers w ON w.id = s.worker "
                "WHERE s.open AND s.token IS NOT NULL AND split_part(w.name, '@', 1) = ANY (%s)",
                (list(workers),),
            )
            self.struck += [Struck(kind, fault, run_id, at) for run_id, at in cursor.fetchall()]
        db.close()


Fault: TypeAlias = Callable[[Harm], str]


def kill_a_worker(harm: Harm) -> str:
    name = harm.rng.choice(harm.instance.worker_names())
    harm.note("kill_a_worker", name)
    return f"SIGKILL {name} ({harm.instance.signal(name, signal.SIGKILL)})"


def kill_all_workers(harm: Harm) -> str:
    names = harm.instance.worker_names()
    harm.note("kill_all_workers", *names)
    return f"SIGKILL {[harm.instance.signal(name, signal.SIGKILL) for name in names]}"


def kill_isolated(harm: Harm) -> str:
    harm.note("kill_isolated", "isolated")
    return f"SIGKILL isolated ({harm.instance.signal('isolated', signal.SIGKILL)})"


def kill_beat(harm: Harm) -> str:
    return f"SIGKILL beat ({harm.instance.signal('beat', signal.SIGKILL)})"


def kill_web(harm: Harm) -> str:
    return f"SIGKILL web ({harm.instance.signal('web', signal.SIGKILL)})"


def restart_web(harm: Harm) -> str:
    return f"SIGTERM web ({harm.instance.signal('web', signal.SIGTERM)})"


def flush_redis(harm: Harm) -> str:
    harm.instance.redis().flushall()
    return "FLUSHALL"


def kill_redis(harm: Harm) -> str:
    return f"SIGKILL redis ({harm.instance.signal('redis', signal.SIGKILL)})"


def forget_redis(harm: Harm) -> str:
    """Its memory and its file are gone, as if another server stood there."""
    harm.instance.redis().flushall()
    return f"FLUSHALL, SIGKILL redis ({harm.instance.signal('redis', signal.SIGKILL)})"


def freeze_redis(harm: Harm) -> str:
    """For 60 s the first time, then for as long as is drawn."""
    seconds = harm.slow * (harm.rng.uniform(5, 60) if harm.redis_was_frozen else 60)
    harm.redis_was_frozen = True
    with harm.freeze("redis", seconds) as pid:
        pass
    return f"SIGSTOP redis ({pid}) for {seconds:.0f} s"


def stop_postgres(harm: Harm) -> str:
    """`pg_ctl -m immediate`."""
    return f"SIGQUIT postgres ({harm.instance.signal('postgres', signal.SIGQUIT)})"


def kill_postgres(harm: Harm) -> str:
    return f"SIGKILL postgres ({harm.instance.signal('postgres', signal.SIGKILL)})"


def roll_workers(harm: Harm) -> str:
    """SIGTERM to one worker after the other, each when the one before is back."""
    told = []
    for name in harm.instance.worker_names():
        pid = harm.instance.signal(name, signal.SIGTERM)
        until = time.monotonic() + 40
        while harm.instance.pid(name) in (pid, None) and time.monotonic() < until:
            time.sleep(0.1)
        told.append(f"{name} {pid} -> {harm.instance.pid(name)}")
    return f"SIGTERM {', '.join(told)}"


def freeze_a_worker(harm: Harm) -> str:
    """A zombie: frozen past its lease, then thawed."""
    name = harm.rng.choice(harm.instance.worker_names())
    seconds = harm.instance.alive_seconds + harm.rng.uniform(2, 4)
    harm.note("freeze_a_worker", name, kind="freeze")
    with harm.freeze(name, seconds) as pid:
        pass
    return f"SIGSTOP {name} ({pid}) for {seconds:.0f} s"


def double_messages(harm: Harm) -> str:
    client = harm.instance.redis()
    taken = _take(client, 20, 3.0)
    for message in taken:
        client.lpush(QUEUE, message, message, message)
    return f"{len(taken)} messages three times"


def shuffle_messages(harm: Harm) -> str:
    client = harm.instance.redis()
    taken = _take(client, 20, 2.0)
    harm.rng.shuffle(taken)
    for message in taken:
        client.rpush(QUEUE, message) if harm.rng.random() < 0.5 else client.lpush(QUEUE, message)
    return f"{len(taken)} messages in another order"


def drop_messages(harm: Harm) -> str:
    client = harm.instance.redis()
    count = 0
    for _ in range(10):
        for message in _take(client, 1, 0.5):
            count += 1
            harm.struck.append(Struck("message", "drop_messages", _run_of(message), datetime.now(UTC)))
    return f"{count} messages"


def _take(client: redis.Redis, count: int, seconds: float) -> list[bytes]:
    """Up to so many messages, as a worker would take them, but without telling anybody."""
    taken: list[bytes] = []
    until = time.monotonic() + seconds
    with suppress(redis.RedisError):
        while len(taken) < count and time.monotonic() < until:
            answer = client.brpop([QUEUE], timeout=1)
            if answer:
                taken.append(bytes(answer[1]))  # type: ignore[arg-type]
    return taken


def _run_of(message: bytes) -> str:
    return str(json.loads(json.loads(message)["body"])[1].get("run"))


FAULTS: dict[str, Fault] = {
    one.__name__: one
    for one in (
        kill_a_worker,
        kill_all_workers,
        kill_isolated,
        kill_beat,
        kill_web,
        restart_web,
        flush_redis,
        kill_redis,
        forget_redis,
        freeze_redis,
        stop_postgres,
        kill_postgres,
        roll_workers,
        freeze_a_worker,
        double_messages,
        shuffle_messages,
        drop_messages,
    )
}
# How often each comes: what hurts most, most often.
WEIGHTS = {
    name: {"kill_a_worker": 4, "drop_messages": 2, "freeze_a_worker": 2, "freeze_redis": 2}.get(name, 1)
    for name in FAULTS
}
