"""Who this process is to the engine: its worker id, the nodes that run in it now, and whether it is about to stop."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

if TYPE_CHECKING:
    from tasks.context import RunContext


@dataclass
class Worker:
    """One process that executes nodes. draining: claims nothing any more; running: contexts by fencing token."""

    name: str
    id: UUID = field(default_factory=uuid4)
    draining: threading.Event = field(default_factory=threading.Event)
    running: dict[UUID, RunContext] = field(default_factory=dict)

    @property
    def lock_key(self) -> int:
        """The advisory lock that lives as long as the process: 63 bits of the id."""
        return self.id.int >> 65


_this: Worker | None = None


def begin(name: str) -> Worker:
    """This process becomes a worker (again, after a fork)."""
    global _this
    _this = Worker(name)
    return _this


def this() -> Worker:
    """The worker that this process is. Raises RuntimeError before `begin`."""
    if _this is None:
        raise RuntimeError("this process is no worker: its keeper was not started")
    return _this
