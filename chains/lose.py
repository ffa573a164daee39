"""A step's worker is gone, or its deadline passed: take the lease away, count the loss, and let the run go on."""

from __future__ import annotations

import json

import metrics
from chains.advance import Outcome, deliver, move, record
from chains.decide import POISON_AFTER_LOSSES, Event
from storage import situation
from storage.postgres import Hot, hot
from storage.segments import Held
from storage.situation import OpenSegment

DRAINED = "drained"


def lose(held: Held) -> bool:
    """Take back one lease. False: it was given back or committed meanwhile.

    A drained lease (its worker is being stopped) is no loss; after the third loss the step is set aside as poison.
    """
    with hot() as db, db.transaction(held.tenant_id, held.run_id):
        now = situation.read(db, held.tenant_id, held.run_id)
        mine = [each for each in now.segments if each.no == held.no and each.token == str(held.token)] if now else []
        if not now or not mine:
            return False
        outcome = Outcome.of(now)
        key, node, attempt = mine[0].keys[0], mine[0].nodes[0], mine[0].attempt
        lost = 0 if held.reason == DRAINED else 1
        losses = lost + next((one.losses for one in now.unfinished if one.key == key), 0)
        poison = losses >= POISON_AFTER_LOSSES and bool(lost)
        error = _error(key, held.reason, poison, losses)
        _close(db, held, mine[0], lost, error, poison)
        told = {"attempt": attempt, "reason": held.reason, "losses": losses}
        event = (
            Event("step_failed", key, node, {**told, "error": error})
            if poison
            else Event("step_rescued", key, node, told)
        )
        obeyed = held.reason == DRAINED and now.stop is not None  # it ended because it was asked to: nobody is rescued
        record(db, [] if obeyed else [event], outcome)
        move(db, outcome)
    if not obeyed:
        _count(node, held.reason, poison)
    deliver(outcome)
    return True


def _close(db: Hot, held: Held, segment: OpenSegment, lost: int, error: dict[str, str], poison: bool) -> None:
    """End the execution that held the lease; a poisonous step stops its run."""
    execution = (held.run_id, held.no, held.token, segment.keys[0], segment.nodes[0], segment.attempt)
    status, text = "failed" if poison else "retrying", json.dumps(error)
    db.one("close_step", *execution, status, 0, lost, text, None, None, None)
    if poison:
        db.do("stop_run", held.run_id, "failed", text)


def _error(key: str, reason: str, poison: bool, losses: int) -> dict[str, str]:
    if poison:
        message = f"This step took its worker with it, or outlived its deadline, {losses} times; it is set aside."
        return {"code": "poison_step", "message": message, "step": key}
    return {
        "code": reason,
        "message": "The step's worker is gone." if reason != "deadline" else "The step passed its deadline.",
        "step": key,
    }


def _count(node: str, reason: str, poison: bool) -> None:
    metrics.RESCUES.labels(reason=reason).inc()
    if reason != DRAINED:
        metrics.LOSSES.labels(node=node).inc()
    if poison:
        metrics.POISON.labels(node=node).inc()
