"""Runs that wait for a budget go on: called after a tenant's budget for models was raised.

Nobody need call it for them to go on: such a wait ends by itself when the day turns (`Pause(on_timeout="again")`).
"""

from __future__ import annotations

from uuid import UUID

from chains.answer import answer
from errors import BatonError
from storage.reads.waits import waiting_for

BATCH_STEPS = 200
MAX_BATCHES = 500
RAISED = None  # nothing was asked: a node that is answered later must not take this for its answer


def go_on(tenant_id: UUID) -> int:
    """Answer every step of this tenant that waits for a budget; how many they were.

    A step that somebody answers, or a run that ends, at the same moment is left to them.
    """
    answered, after = 0, (UUID(int=0), "")
    for _ in range(MAX_BATCHES):
        batch = waiting_for(tenant_id, "budget", after=after, limit=BATCH_STEPS)
        for run_id, key, for_budget in batch:
            answered += for_budget and _answer(tenant_id, run_id, key)
        if len(batch) < BATCH_STEPS:
            break
        after = batch[-1][:2]
    return answered


def _answer(tenant_id: UUID, run_id: UUID, key: str) -> bool:
    try:
        answer(tenant_id, run_id, RAISED, key)
    except BatonError:  # it does not wait any more
        return False
    return True
