"""What the gateway asks of whoever makes a call: a node's Context is a host, and `Alone` stands for one in commands."""

from __future__ import annotations

from typing import Any, Protocol

from node import Stopped


class Host(Protocol):
    """The part of `node.Context` that the gateway uses."""

    answer: Any

    @property
    def cancelled(self) -> bool:
        """The call is to end now."""
        ...

    def seconds_left(self) -> float:
        """Until whoever asks has to be ready."""
        ...

    def check(self) -> None:
        """Raise Stopped when `cancelled`."""
        ...

    def emit(self, type: str, **data: Any) -> None:
        """Record an event of the run."""
        ...

    def token(self, text: str, *, restart: bool = False) -> None:
        """Show a piece of the answer to live viewers. restart: what was shown before is void."""
        ...

    def degrade(self, reason: str) -> None:
        """Mark the run as degraded."""
        ...


class Alone:
    """A host without a run: nobody watches, nobody cancels, and there is an hour."""

    answer: Any = None
    cancelled = False

    def seconds_left(self) -> float:
        return 3600.0

    def check(self) -> None:
        if self.cancelled:
            raise Stopped

    def emit(self, type: str, **data: Any) -> None:
        pass

    def token(self, text: str, *, restart: bool = False) -> None:
        pass

    def degrade(self, reason: str) -> None:
        pass
