"""One campaign: an instance, a load, a schedule of faults drawn from a seed, and the check at the end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from chains.queues import QUEUES
from chaos import faults, load
from chaos.check import Report, check
from chaos.effect_server import EffectServer
from chaos.instance import Instance

SETTLE_SECONDS = 180.0

ALONE, APART = {"BATON_STICKY_MILLISECONDS": "0"}, {"BATON_GROUP_COMMIT": "false"}
MODES: dict[str, dict[str, str]] = {"fast": {}, "sticky": APART, "group": ALONE, "plain": {**ALONE, **APART}}


@dataclass(frozen=True)
class Plan:
    """What is asked for. gap_seconds: between two faults; every: each fault at least once, else drawn by weight;
    slow: scales freezes; alive_seconds: the workers' lease; minutes: the load ends by then; mode: which of the engine's
    two ways to be fast are on.
    """

    runs: int = 10_000
    seed: int = 1
    per_second: float = 12.0
    gap_seconds: tuple[float, float] = (5.0, 20.0)
    every: bool = False
    slow: float = 1.0
    alive_seconds: float = 8.0
    workers: int = 2
    minutes: float | None = None
    mode: str = "fast"


def schedule(plan: Plan) -> list[tuple[float, str]]:
    """(pause in seconds, fault): the same for the same seed, longer than any campaign.

    Drawn as from a pack of cards that holds every fault as often as its weight says, so that none is left out.
    """
    rng = random.Random(f"faults {plan.seed}")
    names = list(faults.WEIGHTS)
    pack = [name for name in names for _ in range(faults.WEIGHTS[name])]
    drawn = rng.sample(names, len(names)) if plan.every else []
    for _ in range(100):
        drawn += rng.sample(pack, len(pack))
    return [(rng.uniform(*plan.gap_seconds), name) for name in drawn]


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Report:
    """Do it; the report has the counts. Raises RuntimeError where the instance does not start."""
    effects = EffectServer()
    instance = Instance(
        folder, effects.url, workers=plan.workers, alive_seconds=plan.alive_seconds, settings=MODES[plan.mode]
    )
    rng = random.Random(f"load {plan.seed}")
    wanted = [load.draw(rng, number, plan.seed) for number in range(plan.runs)]
    try:
        instance.start()
        say(f"instance ready in {folder}")
        harm = faults.Harm(instance, random.Random(f"harm {plan.seed}"), plan.slow)
        traffic = load.Load(instance, effects, wanted, plan.per_second, harm.frozen)
        traffic.start()
        struck = _torment(plan, harm, traffic, say)
        settled = _settle(instance, traffic, say)
        traffic.finish()
        db = instance.keeper()
        report = check(db, traffic.tally, effects, harm.struck, _queued(instance))
        db.close()
        report.figures |= {f"fault: {name}": count for name, count in sorted(struck.items())}
        report.add("it did not come to rest", [] if settled else [f"after {SETTLE_SECONDS} s"])
        report.add("processes that ended by themselves", instance.ended_by_themselves())
        report.add("the instance did not stop in order", [] if instance.stop() else ["it had to be killed"])
        return report
    finally:
        instance.stop()
        effects.close()


def _torment(plan: Plan, harm: faults.Harm, traffic: load.Load, say: Callable[[str], None]) -> dict[str, int]:
    """Faults while the load lasts, and until each has been there once if so asked; their counts."""
    begun, struck = time.monotonic(), dict.fromkeys(faults.FAULTS, 0)
    at_least = len(faults.FAULTS) if plan.every else 0
    for number, (pause, name) in enumerate(schedule(plan)):
        if traffic.done.wait(pause) and number >= at_least:
            break
        if traffic.done.is_set() and number < at_least:
            time.sleep(pause)
        try:
            did = faults.FAULTS[name](harm)
        except (redis.RedisError, OSError) as away:
            did = f"not possible now: {away!r}"
        struck[name] += 1
        say(f"{time.monotonic() - begun:7.1f} s  {len(traffic.tally.accepted):>6} accepted  {name}: {did}")
        if plan.minutes is not None and time.monotonic() - begun > plan.minutes * 60:
            traffic.wanted.clear()
            break
    return struck


def _settle(instance: Instance, traffic: load.Load, say: Callable[[str], None]) -> bool:
    """Wait until the load is through and everything is final; False if it does not come to pass in time."""
    traffic.done.wait(SETTLE_SECONDS)
    begun = time.monotonic()
    while time.monotonic() - begun < SETTLE_SECONDS:
        try:
            db = instance.keeper()
            with db.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FILTER (WHERE status IN ('pending', 'running', 'paused')), "
                    "(SELECT count(*) FROM segments WHERE open) FROM runs"
                )
                left = cursor.fetchone()
            db.close()
            if left == (0, 0) and not any(_queued(instance).values()):
                say(f"everything was final {time.monotonic() - begun:.1f} s after the last request")
                return True
        except Exception as away:
            say(f"not yet: {away!r}")
        threading.Event().wait(0.5)
    return False


def _queued(instance: Instance) -> dict[str, int]:
    client = instance.redis()
    return {queue: int(client.llen(queue)) for queue in QUEUES}
