"""The states of a run: one table of what is allowed, one function that applies it. Drawn in docs/run-states.md."""

from __future__ import annotations

import json
from typing import Any

from storage.postgres import Hot
from storage.situation import Situation

ALLOWED: dict[str, frozenset[str]] = {
    "pending": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"paused", "completed", "failed", "cancelled"}),
    "paused": frozenset({"running", "paused", "completed", "failed", "cancelled"}),
    "failed": frozenset({"running"}),
    "completed": frozenset(),
    "cancelled": frozenset(),
}
FINAL = frozenset({"completed", "failed", "cancelled"})


class ForbiddenTransition(Exception):
    """A bug of ours: the table of states does not have this arrow."""


def transition(
    db: Hot,
    now: Situation,
    frm: str,
    to: str,
    *,
    output: str | None = None,
    output_ref: str | None = None,
    error: Any = None,
    pause: Any = None,
    degraded_reason: str | None = None,
) -> None:
    """Write the run's new status with what belongs to it, inside the caller's transaction. output: JSON text."""
    if to not in ALLOWED[frm]:
        raise ForbiddenTransition(f"run {now.run_id}: {frm} -> {to}")
    db.later("set_status", now.run_id, to, output, output_ref, _text(error), _text(pause), degraded_reason)


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
