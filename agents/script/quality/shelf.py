"""Which rule packs this process uses now: those of a folder, looked at once a second.

    book().matcher("zh", "beauty", "抖音").hits(fold(text))

A pack that changes is read anew while checks go on with what was there. New packs with mistakes change nothing: the
last good ones hold on, the log says `rule_packs_rejected` once, and `Shelf.rejected` tells why. Write a pack under
another name and rename it: one that is half written may be read as it is.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import structlog

from agents.script.data import FOLDER
from agents.script.quality.folding import plain
from agents.script.quality.matching import Matcher, compiled
from agents.script.quality.packs import EVASIONS, Evasions, InvalidPack, Notice, Pack, Told, read_file
from agents.script.quality.terms import pattern_of
from agents.script.words import LANGUAGES
from storage.file_stamp import Stamps, stamp_of

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0
WORDS_KEPT = 2000  # compiled words of creators and brands
MATCHERS_KEPT = 200  # categories times platforms times languages; a category may be of a product's own


class Book:
    """The packs of one moment. Matchers are put together when a script first needs them, and kept."""

    def __init__(self, packs: tuple[Pack, ...], evasions: Evasions) -> None:
        self.packs = packs
        self.versions = {pack.id: pack.version for pack in packs}
        self.rules = {f"{pack.id}-{rule.id}": rule for pack in packs for rule in pack.rules}
        self._negations = evasions.negations
        self._disguises = evasions.disguises()
        self._matchers: dict[tuple[str, tuple[str, ...]], Matcher] = {}
        self._words: dict[str, re.Pattern[str]] = {}

    def matcher(self, language: str, category: str, platform: str | None, tags: Sequence[str] = ()) -> Matcher:
        """What holds for a script. A pack for its category or its product comes before one for all: it knows more."""
        here = self.holding(category, platform, tags)
        here.sort(key=lambda pack: (not (pack.categories or pack.tags), not pack.platforms))
        key = (language, tuple(pack.id for pack in here))
        matcher = self._matchers.get(key)  # held here: another thread may clear at any moment
        if matcher is None:
            if len(self._matchers) >= MATCHERS_KEPT:
                self._matchers.clear()
            matcher = self._matchers[key] = self._compiled(here, language)
        return matcher

    def holding(self, category: str, platform: str | None, tags: Sequence[str] = ()) -> list[Pack]:
        """The packs that hold for a script. tags: the product's `compliance_tags`."""
        return [pack for pack in self.packs if _holds(pack, category, platform, tags)]

    def word(self, word: str) -> re.Pattern[str]:
        """A creator's or a brand's own word, with its disguises."""
        pattern = self._words.get(word)  # held here: another thread may clear at any moment
        if pattern is None:
            if len(self._words) >= WORDS_KEPT:
                self._words.clear()
            pattern = self._words[word] = re.compile(pattern_of(word, self._disguises))
        return pattern

    def mistakes(self) -> Iterator[str]:
        """What would fail once a script needs it: every word and pattern is compiled, and stays so."""
        for pack, language in product(self.packs, LANGUAGES):
            try:
                for term in self._compiled([pack], language).terms():
                    _ = term.pattern
            except (re.error, LookupError, ValueError, OverflowError, RecursionError) as wrong:
                yield f"pack {pack.id}, {language}: cannot be compiled: {wrong}"

    def _compiled(self, packs: Sequence[Pack], language: str) -> Matcher:
        return compiled(packs, language, self._disguises, self._negations.get(language, "(?!)"))


def _holds(pack: Pack, category: str, platform: str | None, tags: Sequence[str]) -> bool:
    fits_platform = not pack.platforms or any(name.lower() in (platform or "").lower() for name in pack.platforms)
    fits_all = not (pack.categories or pack.tags)
    return fits_platform and (fits_all or category in pack.categories or any_of(pack.tags, tags))


def any_of(known: Sequence[str], tags: Sequence[str]) -> bool:
    """Whether a product has one of these tags, whatever the case and the width of their letters."""
    return bool(known and tags) and bool({plain(one) for one in known} & {plain(tag).strip() for tag in tags})


def notices_for(
    language: str, category: str, platform: str | None, tags: Sequence[str]
) -> Iterator[tuple[Pack, Notice, Told]]:
    """What has to be said in a script, or be told of it, with the packs that say so."""
    for pack in book().holding(category, platform, tags):
        for notice in pack.notices:
            told: Told | None = getattr(notice, language, None)
            if told is not None:
                yield pack, notice, told


class Shelf:
    """The packs of a folder. `now`: the clock, for tests."""

    def __init__(self, folder: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now = now
        self._lock = threading.Lock()
        self._book: Book | None = None
        self._stamps: Stamps = {}
        self._look_again_at = 0.0
        self.rejected: str | None = None

    def book(self) -> Book:
        """The packs to use now. InvalidPack where there never were good ones."""
        book = self._book
        if book is not None and self._now() < self._look_again_at:
            return book
        if book is not None and not self._lock.acquire(blocking=False):
            return book  # another thread is reading: nobody waits for it
        if book is None:
            self._lock.acquire()
        try:
            return self._look()
        finally:
            self._lock.release()

    def _look(self) -> Book:
        self._look_again_at = self._now() + LOOK_EVERY_SECONDS
        stamps = {path: stamp_of(path) for path in sorted(self._folder.glob("*.yaml"))}
        if self._book is not None and stamps == self._stamps:
            return self._book
        self._stamps = stamps
        try:
            self._book, self.rejected = read_folder(self._folder), None
        except InvalidPack as wrong:
            if self._book is None:
                raise
            self.rejected = str(wrong)
            log.error("rule_packs_rejected", folder=str(self._folder), reason=self.rejected)
        return self._book


def read_folder(folder: Path) -> Book:
    """All packs of a folder. Raises InvalidPack with the mistakes of every file."""
    packs: list[Pack] = []
    mistakes: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name != EVASIONS:
            try:
                packs.append(read_file(path, Pack))
            except InvalidPack as wrong:
                mistakes.append(str(wrong))
    ids = [pack.id for pack in packs]
    mistakes += [f"{folder}: pack {one} is given twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    if mistakes or not packs:
        raise InvalidPack("\n".join(mistakes) or f"{folder}: there is no rule pack")
    book = Book(tuple(packs), read_file(folder / EVASIONS, Evasions))
    if mistakes := [f"{folder}: {mistake}" for mistake in book.mistakes()]:
        raise InvalidPack("\n".join(mistakes))
    return book


SHELF = Shelf(FOLDER / "rule_packs")


def book() -> Book:
    """The rule packs of this moment."""
    return SHELF.book()


def read_ahead() -> None:
    """Read the packs in a thread of their own, for a process that is going to check scripts: nearly a second of work
    that its first script need not wait for. What is wrong with them is told by the first check."""
    threading.Thread(target=_read_quietly, name="rule packs", daemon=True).start()


def _read_quietly() -> None:
    with contextlib.suppress(InvalidPack):
        SHELF.book()
