"""The states of a run: one table of what is allowed, one function that checks it. Drawn in docs/run-states.md."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

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


class NewStatus(NamedTuple):
    """A run's new status with what belongs to it, as the statement `record` takes it; objects as JSON text."""

    status: str | None = None
    output: str | None = None
    output_ref: str | None = None
    error: str | None = None
    pause: str | None = None
    degraded_reason: str | None = None


def transition(
    now: Situation,
    frm: str,
    to: str,
    *,
    output: str | None = None,
    output_ref: str | None = None,
    error: Any = None,
    pause: Any = None,
    degraded_reason: str | None = None,
) -> NewStatus:
    """The run's new status, for `advance.record`. output: JSON text. Raises ForbiddenTransition."""
    if to not in ALLOWED[frm]:
        raise ForbiddenTransition(f"run {now.run_id}: {frm} -> {to}")
    return NewStatus(to, output, output_ref, _text(error), _text(pause), degraded_reason)


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
