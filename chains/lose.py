"""A step's worker is gone, or its deadline passed: take the lease away, count the loss, and let the run go on."""

from __future__ import annotations

import json

import metrics
from chains.advance import Outcome, deliver, move, record
from chains.decide import POISON_AFTER_LOSSES, Event
from storage import situation
from storage.postgres import hot
from storage.segments import Held

DRAINED = "drained"


def lose(held: Held, *, tell: bool = True) -> bool:
    """Take back one lease. False: it was given back or committed meanwhile. tell: send what follows at once.

    A drained lease (its worker is being stopped) is no loss; after the third loss the step is set aside as poison.
    """
    outcome = Outcome(held.tenant_id, held.run_id)
    with hot() as db, db.transaction(held.tenant_id, held.run_id):
        now = situation.read(db, held.tenant_id, held.run_id)
        mine = [each for each in now.segments if each.no == held.no and each.token == str(held.token)] if now else []
        if not now or not mine:
            return False
        key, node, attempt = mine[0].keys[0], mine[0].nodes[0], mine[0].attempt
        lost = 0 if held.reason == DRAINED else 1
        losses = lost + next((one.losses for one in now.unfinished if one.key == key), 0)
        poison = losses >= POISON_AFTER_LOSSES and bool(lost)
        error = _error(key, held.reason, poison, losses)
        status = "failed" if poison else "retrying"
        closing = (
            held.run_id,
            held.no,
            held.token,
            key,
            node,
            attempt,
            status,
            0,
            lost,
            json.dumps(error),
            None,
            None,
            None,
        )
        db.one("close_step", *closing)
        if poison:
            db.do("stop_run", held.run_id, "failed", json.dumps(error))
        told = {"attempt": attempt, "reason": held.reason, "losses": losses}
        event = (
            Event("step_failed", key, node, {**told, "error": error})
            if poison
            else Event("step_rescued", key, node, told)
        )
        obeyed = held.reason == DRAINED and now.stop is not None  # it ended because it was asked to: nobody is rescued
        record(db, held.tenant_id, held.run_id, [] if obeyed else [event], outcome)
        moved = move(db, held.tenant_id, held.run_id)
    if not obeyed:
        _count(node, held.reason, poison)
    moved.events = outcome.events + moved.events
    if tell:
        deliver(moved)
    return True


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
