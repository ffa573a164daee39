"""The load: probe runs over HTTP, at a steady rate, each sent again with its key until its 202 arrives.

It is also the only person there: it answers the question whether an at-most-once effect of unknown outcome happened,
by what the counting server saw, once nobody is frozen who could still send it.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from chaos.effect_server import EffectServer
from chaos.instance import Instance

Json = Any
SENDERS = 8
MAX_OPEN = 600
PATIENCE_SECONDS = 180.0
# Longer than a POST can be under way (10 s, agents/probe.py): who answers sooner may be wrong about what happened.
ANSWER_AFTER_SECONDS = 12.0
NO_ANSWER = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Wanted:
    """A run to be submitted: its idempotency key and its input."""

    key: str
    input: dict[str, Json]

    @property
    def steps(self) -> set[str]:
        """The keys of all steps that it will have."""
        keys = {str(number) for number in range(1, self.input.get("steps", 8) + 1)}
        branches = self.input.get("fan_out", 0)
        return keys | ({f"branch[{number}]" for number in range(branches)} | {"join"} if branches else set())


@dataclass
class Tally:
    """What the load saw. accepted: run id -> what was wanted."""

    accepted: dict[str, Wanted] = field(default_factory=dict)
    retries: int = 0
    replays: int = 0
    refused: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


def draw(rng: random.Random, number: int, seed: int) -> Wanted:
    """The number-th run of a seed: short lines, joins, effects, failures, payloads."""
    kind = rng.random()
    asked: dict[str, Json] = {"steps": rng.randint(1, 10)}
    if kind < 0.20:
        asked = {"steps": rng.randint(1, 3), "effect": "idempotent", "sleep_ms": rng.choice((0, 0, 50, 200))}
    elif kind < 0.40:
        asked = {"steps": rng.randint(1, 3), "effect": "at_most_once", "sleep_ms": rng.choice((0, 0, 50, 200))}
    elif kind < 0.55:
        asked = {"steps": rng.randint(1, 3), "fan_out": rng.randint(2, 6), "sleep_ms": rng.choice((0, 30))}
    elif kind < 0.60:
        asked = {"steps": 3, "fail": {"2": rng.randint(1, 2)}}
    elif kind < 0.64:
        asked = {"steps": 2, "payload_bytes": rng.choice((1000, 100_000))}
    elif kind < 0.68:
        asked = {"steps": rng.randint(4, 12), "sleep_ms": 250}
    return Wanted(f"chaos-{seed}-{number}", asked)


class Load:
    """Submits `wanted` at `per_second` as long as less than MAX_OPEN of them are not final; `frozen` is set while some
    process is frozen.
    """

    def __init__(
        self,
        instance: Instance,
        effects: EffectServer,
        wanted: list[Wanted],
        per_second: float,
        frozen: threading.Event,
    ) -> None:
        self.instance = instance
        self.effects = effects
        self.wanted = wanted
        self.per_second = per_second
        self.frozen = frozen
        self.tally = Tally()
        self.done = threading.Event()
        self.final = 0
        self._end = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._submit_all, name="load", daemon=True).start()
        threading.Thread(target=self._answer_all, name="person", daemon=True).start()

    def finish(self) -> None:
        """No more answers."""
        self._end.set()

    def _submit_all(self) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            for number, one in enumerate(self.wanted):
                if self._end.is_set():
                    break
                time.sleep(max(0.0, begun + number / self.per_second - time.monotonic()))
                while number - self.final > MAX_OPEN and not self._end.is_set():
                    time.sleep(0.2)
                    begun += 0.2
                pool.submit(self._submit, one)
        self.done.set()

    def _submit(self, one: Wanted) -> None:
        until, pause = time.monotonic() + PATIENCE_SECONDS, 0.1
        said = "no answer"
        while time.monotonic() < until and not self._end.is_set():
            try:
                body = {"chain": "probe", "input": one.input}
                status, answer = self.instance.call("POST", "/runs", body, Idempotency_Key=one.key)
                if status == 202:
                    self._accepted(one, answer["run_id"])
                    return
                said = f"{status} {answer}"
                if status < 500:
                    break
            except NO_ANSWER as lost:
                said = repr(lost)
            with self.tally.lock:
                self.tally.retries += 1
            time.sleep(pause)
            pause = min(pause * 1.5, 2.0)
        with self.tally.lock:
            self.tally.refused.append(f"{one.key}: {said}")

    def _accepted(self, one: Wanted, run_id: str) -> None:
        with self.tally.lock:
            other = self.tally.accepted.setdefault(run_id, one)
            if other is not one:
                self.tally.refused.append(f"{one.key}: got the run of {other.key}")

    def _answer_all(self) -> None:
        """Every few seconds: what waits, and has waited long enough that no POST of it can be under way any more."""
        first_seen: dict[tuple[str, str], float] = {}
        while not self._end.wait(1.0):
            try:
                for run_id, step, key, pause_kind in self._waiting():
                    seen = first_seen.setdefault((run_id, key), time.monotonic())
                    if self.frozen.is_set():
                        first_seen[run_id, key] = time.monotonic()
                    elif time.monotonic() - seen > ANSWER_AFTER_SECONDS:
                        self._answer(run_id, step, key, pause_kind)
                        first_seen.pop((run_id, key))
            except Exception as away:  # Postgres or the web process is down: the next round looks again
                self.tally.answers[f"later: {type(away).__name__}"] += 1

    def _waiting(self) -> list[tuple[str, str, str, str]]:
        db = self.instance.keeper()
        try:
            with db.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM runs WHERE status IN ('completed', 'failed', 'cancelled')")
                (self.final,) = cursor.fetchone()  # type: ignore[misc]
                cursor.execute(
                    "SELECT run_id::text, key, pause ->> 'effect', pause ->> 'kind' FROM steps WHERE status = 'waiting'"
                )
                return cursor.fetchall()
        finally:
            db.close()

    def _answer(self, run_id: str, step: str, key: str, kind: str) -> None:
        if kind != "effect":
            self.tally.answers[f"unexpected: {kind}"] += 1
            return
        happened = self.effects.count(key) > 0
        told = {"answer": {"happened": happened}, "step": step}
        status, answer = self.instance.call("POST", f"/runs/{run_id}/answer", told)
        self.tally.answers["happened" if happened else "did not happen"] += status == 202
        if status not in (202, 409):
            self.tally.answers[f"refused: {status} {answer.get('code')}"] += 1
