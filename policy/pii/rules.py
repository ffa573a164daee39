"""Which masking rules this process uses now: the file's, looked at once a second.

A file that changes is read anew while texts are masked by what was there. A file with mistakes, or one that went away,
changes nothing: the last good rules hold on, the built-in ones where there were none, and the log says
`pii_rules_rejected` once. Write it under another name and rename it: one that is half written may be read as it is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import structlog

from policy.pii.rule_file import BUILT_IN, InvalidRules, Rules, load
from settings import Settings, settings
from storage.file_stamp import Stamp, stamp_of

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class _Known:
    """What this process knows of its file. stamp: of what was read last; rejected: what is wrong with it."""

    settings: Settings
    rules: Rules
    stamp: Stamp
    rejected: str | None
    look_again_at: float


_lock = threading.Lock()
_known: _Known | None = None


@cache
def built_in() -> Rules:
    """The rules that come with Baton. Raises InvalidRules."""
    return load(BUILT_IN)


def rules() -> Rules:
    """The rules to use now. Never raises for a file that is wrong: what masks a log line cannot refuse to."""
    chosen = settings()
    if chosen.pii_rules is None:
        return built_in()
    known = _known
    if known and known.settings is chosen and time.monotonic() < known.look_again_at:
        return known.rules
    return _look(chosen, chosen.pii_rules)


def forget() -> None:
    """Read the file again at the next call (tests)."""
    global _known
    with _lock:
        _known = None


def _look(chosen: Settings, path: Path) -> Rules:
    """One thread looks; the others, and its own log line, go on with what is known."""
    global _known
    if not _lock.acquire(blocking=False):
        known = _known
        return known.rules if known and known.settings is chosen else built_in()
    try:
        before = _known if _known and _known.settings is chosen else None
        known = _known = _after_look(before, chosen, path)
    finally:
        _lock.release()
    if known.rejected and (before is None or before.rejected != known.rejected):
        log.error("pii_rules_rejected", mistakes=known.rejected.splitlines())
    elif before and before.rules is not known.rules:
        log.info("pii_rules_loaded", path=str(path), rules=len(known.rules.rules))
    return known.rules


def _after_look(known: _Known | None, chosen: Settings, path: Path) -> _Known:
    again_at = time.monotonic() + LOOK_EVERY_SECONDS
    stamp = stamp_of(path)  # before it is read: what changes while it is read is then seen afterwards
    if known and known.stamp == stamp:
        return replace(known, look_again_at=again_at)
    try:
        return _Known(chosen, load(path), stamp, None, again_at)
    except InvalidRules as wrong:
        return _Known(chosen, known.rules if known else built_in(), stamp, str(wrong), again_at)
