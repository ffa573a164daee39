"""Points at which a test may kill, freeze or fail this process: in production each is one comparison.

BATON_FAULT_POINTS="after_commit@2=kill:/tmp/flag, in_node=stop:/tmp/other": at the point `after_commit` of the step
"2" the process kills itself with SIGKILL, once: the first to create the flag file does it. Actions: kill (SIGKILL),
stop (SIGSTOP), error (RuntimeError), exit (os._exit).
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from settings import settings

POINTS = (
    "before_claim",
    "after_claim",
    "between_links",
    "leader_before",
    "leader_after",
    "in_node",
    "between_intent_and_effect",
    "between_effect_and_result",
    "after_node",
    "after_commit",
    "after_publish",
    "before_send",
    "after_send",
    "in_join",
    "in_final_transition",
)


@dataclass(frozen=True)
class Fault:
    """What happens at a point. step: only there (None: at any step); flag: the file that makes it happen once."""

    point: str
    step: str | None
    action: str
    flag: str


def parse(text: str) -> tuple[Fault, ...]:
    """The faults of BATON_FAULT_POINTS. Raises ValueError for an unknown point."""
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        where, _, what = part.partition("=")
        point, _, step = where.partition("@")
        action, _, flag = what.partition(":")
        if point not in POINTS:
            raise ValueError(f"there is no fault point {point!r}: {', '.join(POINTS)}")
        found.append(Fault(point, step or None, action, flag))
    return tuple(found)


_FAULTS = parse(settings().fault_points)


def point(name: str, step: str = "") -> None:
    """Here a test may strike."""
    if _FAULTS:
        for fault in _FAULTS:
            if fault.point == name and fault.step in (None, step) and _first(fault.flag):
                _strike(fault.action)


def _first(flag: str) -> bool:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _strike(action: str) -> None:
    if action == "error":
        raise RuntimeError("a fault that a test asked for")
    if action == "exit":
        os._exit(1)
    os.kill(os.getpid(), signal.SIGSTOP if action == "stop" else signal.SIGKILL)
