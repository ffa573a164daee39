"""Fork a run: a new run that keeps the checkpoints up to a step and goes on from there, perhaps with another input."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from chains import catalog
from chains.advance import Outcome, deliver_later, move
from chains.submit import SubmitRequest, insert
from errors import InvalidInput, NotFound, UnknownChain
from storage import audit, blobs
from storage.postgres import Hot, hot
from storage.tables import uuid7

Json = Any


def fork(
    tenant_id: UUID, run_id: UUID, after_step: str, new_input: Json = None, entry: audit.Entry | None = None
) -> UUID:
    """Start a run from the checkpoint of `after_step`; the parent's input holds unless another replaces it whole.

    entry: recorded with it, and says who started the new run.
    Raises NotFound, InvalidInput (no checkpoint of that step, or a wrong input), UnknownVersion, UnknownChain (Baton's
    own), TooManyWaiting.
    """
    with hot() as db:
        parent = db.one("fork_source", run_id, tenant=tenant_id)
        rows = db.all("steps_in_order", run_id, tenant=tenant_id)
    if parent is None:
        raise NotFound("There is no such run.")
    chain_name, version, agent_id, user_id, old_input, traceparent = parent
    chain = catalog.lookup(chain_name, version)
    if chain.internal:
        raise UnknownChain(f"The chain {chain.name!r} is started by Baton alone.")
    keys = [row[0] for row in rows]
    if after_step not in keys:
        raise InvalidInput(
            errors=[{"field": "after_step", "message": f"the run has no checkpoint of a step {after_step!r}"}]
        )
    accepted = chain.accept(json.loads(old_input) if new_input is None else new_input)
    kept = rows[: keys.index(after_step) + 1]
    forked = uuid7()
    refs = [(key, blobs.copy_to_run(ref, tenant_id, forked)) for key, ref in kept if ref]
    actor = None if entry is None else entry.actor
    request = SubmitRequest(chain.name, None, agent_id=agent_id, user_id=user_id, traceparent=traceparent, actor=actor)
    outcome = Outcome(tenant_id, forked)
    with hot() as db, db.transaction(tenant_id, forked):
        insert(db, outcome, request, chain, accepted, forked=(run_id, after_step))
        _keep_checkpoints(db, run_id, forked, [row[0] for row in kept], refs)
        move(db, outcome)
        if entry is not None:
            told = {"run": str(forked), "after_step": after_step, "input_replaced": new_input is not None}
            audit.write_hot(db, replace(entry, after=told))
    deliver_later(outcome)
    return forked


def _keep_checkpoints(db: Hot, parent: UUID, forked: UUID, keys: list[str], refs: list[tuple[str, str]]) -> None:
    db.do("copy_steps", parent, forked, keys)
    for key, ref in refs:
        db.do("set_output_ref", forked, key, ref)
    db.do("set_done", forked, len(keys))
