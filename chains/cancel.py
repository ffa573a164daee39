"""Cancel a run: say so, once; its nodes are told, and the run is final when nothing runs any more or after 10 s."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from chains.advance import Outcome, deliver_later, move
from chains.transitions import FINAL
from errors import NotFound, WrongState
from storage import audit, situation
from storage.postgres import hot


def cancel(tenant_id: UUID, run_id: UUID, entry: audit.Entry | None = None) -> None:
    """Stop a run. Again while it is being stopped: the same. Raises NotFound, or WrongState where it is final.

    entry: recorded with it, once the run's status is known; none where nothing changed.
    """
    with hot() as db, db.transaction(tenant_id, run_id):
        now = situation.read(db, tenant_id, run_id)
        if now is None:
            raise NotFound("There is no such run.")
        if now.status in FINAL:
            raise WrongState(f"The run is {now.status}; only a run that is not final can be cancelled.")
        stopped = db.do("stop_run", run_id, "cancelled", None)
        outcome = Outcome(tenant_id, run_id)
        move(db, outcome)
        if entry is not None and stopped:
            audit.write_hot(db, replace(entry, before={"status": now.status}))
    deliver_later(outcome)
