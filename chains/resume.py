"""Resume a failed run: every failed step gets a new retry budget, what succeeded is not run again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from chains import catalog
from chains.advance import Outcome, deliver_later, move, record, session_free
from chains.decide import Event, decide
from chains.outline import outline
from chains.transitions import transition
from errors import NotFound, SessionBusy, WrongState
from storage import audit, situation
from storage.postgres import Hot, hot
from storage.situation import Situation


def resume(tenant_id: UUID, run_id: UUID, entry: audit.Entry | None = None) -> None:
    """Move a run failed -> running. Raises NotFound, WrongState (not failed), SessionBusy, UnknownVersion.

    entry: recorded with it.
    """
    with hot() as db, db.transaction(tenant_id, run_id):
        now = _failed(db, tenant_id, run_id)
        catalog.definition(now.chain, now.version, now.input_facts)
        if now.session_id is not None and not session_free(db, now):
            raise SessionBusy()
        outcome = Outcome.of(now)
        db.do("clear_for_resume", run_id)
        keys = [row[0] for row in db.all("retry_failed_steps", run_id)]
        resumed = Event("run_resumed", data={"status": "running", "steps": keys})
        record(db, [resumed], outcome, transition(now, "failed", "running"))
        move(db, outcome)
        if entry is not None:
            audit.write_hot(db, replace(entry, before={"status": now.status}, after={"steps": keys}))
    deliver_later(outcome)


def dry_run(tenant_id: UUID, run_id: UUID) -> dict[str, Any]:
    """What a resume would do: `{"run_id", "skipped": [succeeded keys], "repeated": [failed keys], "run": [keys]}`.

    skipped: done, they keep their checkpoints; repeated: started before without success; run: what then comes first.
    Raises NotFound, WrongState, UnknownVersion.
    """
    with hot() as db, db.transaction(tenant_id, run_id):
        now = _failed(db, tenant_id, run_id)
        outputs = db.all("results", run_id)
    body = catalog.definition(now.chain, now.version, now.input_facts)
    repeated = [one.key for one in now.unfinished if one.status in ("failed", "retrying")]
    unfinished = tuple(
        replace(one, status="retrying", failures=0, due_in_seconds=None) if one.key in repeated else one
        for one in now.unfinished
    )
    decision = decide(replace(now, status="running", stop=None, past_deadline=False, unfinished=unfinished), body)
    first = [step.key for new in decision.segments for step in new.steps]
    known = [one.key for one in outline(body, now.input_facts, now.done) if one.status == "planned"]
    return {
        "run_id": str(run_id),
        "skipped": [row[0] for row in outputs],
        "repeated": repeated,
        "run": list(dict.fromkeys([*first, *known])),
    }


def _failed(db: Hot, tenant_id: UUID, run_id: UUID) -> Situation:
    now = situation.read(db, tenant_id, run_id)
    if now is None:
        raise NotFound("There is no such run.")
    if now.status != "failed":
        raise WrongState(f"The run is {now.status}; only a failed run can be resumed.")
    return now
