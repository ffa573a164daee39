"""The rules of the effects ledger: what a step may do outside, so that nothing is done twice.

idempotent: sent again under the same key until a result is known. at_most_once: the intent is on disk before the call
and the result after it; an intent without a result is unknown, the run pauses, and a person decides. A different
request under the same key pauses the run too: the node has changed its mind about something that may have happened.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

import faults
from chains import payload
from node import EffectKind, Json, NotHappened, Pause, Stopped
from storage.checkpoints import Lease
from storage.effects import Entry, effect_key, intend, write
from storage.postgres import Unavailable


def perform(lease: Lease, name: str, kind: EffectKind, request: Json, call: Callable[[str], Json]) -> Json:
    """Do an effect once; its JSON result. Raises Pause where a person has to decide, Stopped for a lost lease."""
    key = effect_key(lease.run_id, lease.key, name)
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    entry = intend(
        lease.tenant_id, key, lease.run_id, lease.segment, lease.token, lease.key, lease.attempt, name, kind, digest
    )
    if entry is None:
        raise Stopped("the lease of this step is lost")
    _settle_conflict(entry, key, name, digest)
    if entry.status == "done":
        return json.loads(entry.result or "null")
    if not entry.fresh:
        if kind == "at_most_once":
            write(lease.tenant_id, "effect_unknown", key)
            raise Pause("effect", f"Did the effect {name!r} of step {lease.key!r} happen?", effect=key, name=name)
        write(lease.tenant_id, "again_effect", key, lease.attempt, synced=False)
    faults.point("between_intent_and_effect", lease.key)
    try:
        result = call(key)
    except NotHappened:
        _write_surely(lease, "effect_not_sent", key, lease.attempt)
        raise
    faults.point("between_effect_and_result", lease.key)
    _write_surely(lease, "effect_done", key, payload.dump(result))
    return result


def _write_surely(lease: Lease, statement: str, key: str, *values: object) -> None:
    """Write what became of a call, again and again while Postgres is away: lost, it is a question for a person."""
    until, pause = time.monotonic() + lease.seconds, 0.05
    while True:
        try:
            write(lease.tenant_id, statement, key, *values)
            return
        except Unavailable:
            if time.monotonic() + pause >= until:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 1.0)


def _settle_conflict(entry: Entry, key: str, name: str, digest: str) -> None:
    if entry.request_hash != digest:
        raise Pause(
            "effect",
            f"The effect {name!r} was begun with another request. Did it happen?",
            effect=key,
            name=name,
            conflict=True,
            request_hash=digest,
        )
