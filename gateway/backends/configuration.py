"""Which backends this process may use now: the models file's, looked at every second, or what is found without one.

    configuration().backends

A file that changes is read anew while calls go on with what was there. A new file with mistakes, or one that went away,
changes nothing: the last good one holds on, the log says `models_file_rejected` once, and `rejected()` tells why. Only
where there was no good one yet, InvalidModelsFile is raised. Write it under another name and rename it: a file that is
half written may be read as it is.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from gateway.backend import Backend
from gateway.backends import discovery
from gateway.backends.models_file import Configuration, InvalidModelsFile, Loaded, load
from settings import Settings, settings
from storage.file_stamp import Stamps, unchanged

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0


@dataclass(frozen=True)
class _Known:
    """What this process knows of its file. good: the last one without mistakes; stamps: of what was read last."""

    settings: Settings
    good: Loaded | None
    stamps: Stamps
    rejected: str | None
    look_again_at: float


_lock = threading.Lock()
_known: _Known | None = None
_without_file: tuple[Settings, Configuration] | None = None


def configuration() -> Configuration:
    """Everything that the gateway works with. InvalidModelsFile where there is a file, and never was a good one."""
    chosen = settings()
    if not chosen.models:
        return _found(chosen)
    known = _look(chosen, chosen.models)
    if known.good is None:
        raise InvalidModelsFile(known.rejected or "")
    return known.good.configuration


def backends() -> tuple[Backend, ...]:
    """Every backend, the preferred one first. InvalidModelsFile as `configuration` has it."""
    return configuration().backends


def rejected() -> str | None:
    """What is wrong with the models file as it is now, a line for each mistake; None: it is the one in use."""
    chosen = settings()
    return _look(chosen, chosen.models).rejected if chosen.models else None


def forget() -> None:
    """Read the file again at the next call (tests)."""
    global _known, _without_file
    with _lock:
        _known = _without_file = None


def _look(chosen: Settings, path: Path) -> _Known:
    """What is known, at most a second old. One thread looks; the others wait for it only where nothing is known yet."""
    global _known
    known = _known if _known and _known.settings is chosen else None
    if known and time.monotonic() < known.look_again_at:
        return known
    if not _lock.acquire(blocking=known is None):
        assert known is not None
        return known
    try:
        known = _known if _known and _known.settings is chosen else None
        if known is None or time.monotonic() >= known.look_again_at:
            known = _known = _after_look(known, chosen, path)
        return known
    finally:
        _lock.release()


def _after_look(known: _Known | None, chosen: Settings, path: Path) -> _Known:
    again_at = time.monotonic() + LOOK_EVERY_SECONDS
    if known and unchanged(known.stamps):
        return replace(known, look_again_at=again_at)
    good = known.good if known else None
    try:
        fresh = load(path, chosen)
    except InvalidModelsFile as wrong:
        if known and good and known.rejected != str(wrong):  # without a good one, whoever asks gets the exception
            log.error("models_file_rejected", mistakes=str(wrong).splitlines())
        return _Known(chosen, good, wrong.stamps, str(wrong), again_at)
    if known:
        log.info("models_file_loaded", path=str(path), backends=[one.name for one in fresh.configuration.backends])
    return _Known(chosen, fresh, fresh.stamps, None, again_at)


def _found(chosen: Settings) -> Configuration:
    """Without a file; the same object for as long as the same is found."""
    global _without_file
    there = discovery.found(chosen)
    kept = _without_file
    if kept and kept[0] is chosen and kept[1].backends == there:
        return kept[1]
    unpriced = frozenset(backend.name for backend in there if discovery.is_without_price(backend))
    _without_file = (chosen, Configuration(there, without_price=unpriced))
    return _without_file[1]
