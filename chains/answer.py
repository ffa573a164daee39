"""Answer a waiting step: a gate, a question of a node, an effect of unknown outcome. One conditional update decides."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from chains import payload
from chains.advance import Outcome, deliver_later, move, pass_gate, record
from chains.decide import Event, gate_facts
from errors import AlreadyAnswered, AmbiguousAnswer, InvalidInput, NotFound, WrongState
from storage import audit, situation
from storage.postgres import Hot, hot
from storage.reads.waits import question_in
from storage.situation import Situation, Unfinished

Json = Any


def answer_in_session(tenant_id: UUID, session_id: str, chain: str, given: Json) -> tuple[UUID, str] | None:
    """Take what is said in a session as the answer to the question that its run of this chain waits with: (run, step).

    given: {"text"}, and with an idempotency key {"key", "digest"} beside it, so that the same request again is known.
    None where none waits with a question, or somebody answered at the same moment.
    """
    asked = question_in(tenant_id, session_id, chain)
    if asked is None:
        return None
    try:
        answer(tenant_id, asked[0], given, asked[1])
    except (NotFound, WrongState, AlreadyAnswered):
        return None
    return asked


def answer(
    tenant_id: UUID, run_id: UUID, given: Json, step: str | None = None, entry: audit.Entry | None = None
) -> None:
    """Give the answer that a step waits for. The same answer again is fine, and recorded once.

    entry: recorded with it; its `after` says the answer as the caller made it fit for the record, and gets the step.
    Raises NotFound, WrongState (nothing waits), AmbiguousAnswer (several wait, none is named), AlreadyAnswered
    (with something else), InvalidInput (an effect's answer has its own form).
    """
    with hot() as db, db.transaction(tenant_id, run_id):
        now = situation.read(db, tenant_id, run_id)
        if now is None:
            raise NotFound("There is no such run.")
        waiting = _waiting(db, now, given, step)
        if waiting is None:
            return
        outcome = Outcome.of(now)
        _apply(db, now, waiting, given, outcome)
        move(db, outcome)
        if entry is not None:
            audit.write_hot(db, replace(entry, after={**(entry.after or {}), "step": waiting.key}))
    deliver_later(outcome)


def _waiting(db: Hot, now: Situation, given: Json, step: str | None) -> Unfinished | None:
    """The step that the answer is for; None where it has this very answer already."""
    waiting = [one for one in now.unfinished if one.status == "waiting" and step in (None, one.key)]
    if now.stop is None and now.status in ("running", "paused") and len(waiting) == 1:
        return waiting[0]
    if len(waiting) > 1 and now.status in ("running", "paused"):
        raise AmbiguousAnswer(f"These steps wait: {', '.join(one.key for one in waiting)}. Name one of them in `step`.")
    for key, given_before in db.all("answers_given", now.run_id):
        if step in (None, key):
            if json.loads(given_before) == given:
                return None
            raise AlreadyAnswered()
    if step is not None and not any(one.key == step for one in now.unfinished) and step not in now.done:
        raise InvalidInput(errors=[{"field": "step", "message": f"no step {step!r} of this run waits"}])
    raise WrongState(f"The run is {now.status}; nothing waits for an answer.")


def _apply(db: Hot, now: Situation, waiting: Unfinished, given: Json, outcome: Outcome) -> None:
    kind = (waiting.pause or {}).get("kind")
    if kind == "effect":
        _settle_effect(db, waiting, given)
    if waiting.node == "gate":
        facts = dict(gate_facts(waiting.pause.get("facts"), given))
        if len(payload.dump(facts).encode()) > payload.MAX_FACTS_BYTES:
            raise InvalidInput(
                errors=[{"field": "answer", "message": f"is larger than {payload.MAX_FACTS_BYTES} bytes"}]
            )
        pass_gate(db, now.run_id, waiting.key, given, facts)
        record(db, [Event("step_succeeded", waiting.key, "gate", {"attempt": waiting.attempt})], outcome)
    else:
        db.do("step_again", now.run_id, waiting.key, json.dumps(given))


def _settle_effect(db: Hot, waiting: Unfinished, given: Json) -> None:
    """A person knows whether the effect happened: `{"happened": true, "result"?}` or `{"happened": false}`."""
    if not isinstance(given, dict) or not isinstance(given.get("happened"), bool):
        message = 'must be {"happened": true, "result": ...} or {"happened": false}'
        raise InvalidInput(errors=[{"field": "answer.happened", "message": message}])
    key = waiting.pause["effect"]
    if given["happened"]:
        result = payload.dump(given["result"]) if "result" in given else None
        db.do("effect_happened", key, result, waiting.pause.get("request_hash"))
    else:
        db.do("effect_forgotten", key)
