"""Remembers for seconds what a look at the database found, and looks once however many ask at the same moment.

A thousand viewers that reconnect with one key are one lookup; a revoked key is taken for `seconds` more, no longer.
Only what is there is remembered: what is refused is looked at anew each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

SECONDS = 5.0
MOST = 10_000


class _Look(Generic[V]):
    """A look that is under way: who comes meanwhile shares its finding."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ended = False
        self.found: V | None = None
        self.error: Exception | None = None


class Remembered(Generic[K, V]):
    """What `look` found by key; what it raises reaches all who wait for it."""

    def __init__(self, look: Callable[[K], V | None], seconds: float = SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._known: dict[K, tuple[float, V]] = {}
        self._under_way: dict[K, _Look[V]] = {}

    def of(self, key: K) -> V | None:
        """The finding, at most `seconds` old; None: there is none."""
        known = self._known.get(key)
        if known and monotonic() < known[0]:
            return known[1]
        under_way = self._under_way.get(key)
        if under_way is not None:
            under_way.done.wait()  # as long as a statement may take (storage/cooperative.py)
            if under_way.error is not None:
                raise under_way.error
            if under_way.ended:
                return under_way.found
            # who looked was killed: nothing was found out
        return self._looked(key)

    def _looked(self, key: K) -> V | None:
        look = self._under_way[key] = _Look()
        asked_at = monotonic()
        try:
            look.found = self._look(key)
            look.ended = True
        except Exception as error:
            look.error = error
            raise
        else:
            self._keep(key, asked_at, look.found)
            return look.found
        finally:
            self._under_way.pop(key, None)
            look.done.set()

    def _keep(self, key: K, asked_at: float, found: V | None) -> None:
        if found is None:
            self._known.pop(key, None)
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = (asked_at + self._seconds, found)

    def forget(self) -> None:
        """Look anew at everything: after a change that this process made itself."""
        self._known.clear()
