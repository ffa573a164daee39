"""What goes by itself: expired tokens, old counts of failed logins, old signing keys; a due key is replaced.

Every hour (`upkeep.identity`); several at once do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from identity import lockout, signing
from storage import logins, one_time_tokens, refresh_tokens

MAX_BATCHES = 20


@dataclass(frozen=True, slots=True)
class Removed:
    """How many of each went; new_key: the `kid` of a signing key that was made."""

    refresh_tokens: int
    one_time_tokens: int
    login_failures: int
    new_key: str | None


def run_once(now: datetime) -> Removed:
    """Remove what is over at `now` (aware), in batches of one transaction each; the next call does what is left."""
    return Removed(
        _batches(lambda: refresh_tokens.remove_old(now), refresh_tokens.BATCH),
        _batches(lambda: one_time_tokens.remove_old(now), one_time_tokens.BATCH),
        _batches(lambda: logins.remove_old(now, lockout.FORGOTTEN_AFTER), logins.BATCH),
        signing.rotate_if_due(now),
    )


def _batches(remove: Callable[[], int], size: int) -> int:
    total = 0
    for _ in range(MAX_BATCHES):
        removed = remove()
        total += removed
        if removed < size:
            break
    return total
