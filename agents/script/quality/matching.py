"""Where the rules' words stand in a text: the packs that hold for one script, compiled once a version."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import NamedTuple

from agents.script.quality.folding import Folded
from agents.script.quality.packs import Pack, Rule, Wording
from agents.script.quality.terms import Disguises, first_characters, pattern_of

SENTENCE_MARKS = re.compile(r"[。!?\n]|\.(?=\s|$)")
CLAUSE_MARKS = re.compile(r"[,，。!?;；\n]|\.(?=\s|$)|\bbut\b")
MOST_HITS = 1000  # that are no innocent ones; a text with more of them fails whatever else is in it
NEGATION_REACH = 24  # characters before a word in which a negation still belongs to it


@dataclass(frozen=True)
class Named:
    """A rule of a pack in one language. rank: an earlier one wins where two find the same words."""

    pack: Pack
    rule: Rule
    wording: Wording
    rank: int
    excused_by: tuple[re.Pattern[str], ...]


@dataclass(frozen=True)
class Hit:
    """Words of a rule, at a span of the folded text."""

    start: int
    end: int
    named: Named
    instead: str | None


@lru_cache(maxsize=20_000)
def compiled_once(source: str) -> re.Pattern[str]:
    """The pattern of a source: a word stands in many matchers."""
    return re.compile(source)


class Hits(NamedTuple):
    """What was found, and where the search stopped: at the first one too many, or None."""

    kept: list[Hit]
    stopped: Hit | None


@dataclass
class Term:
    """A word or pattern of a rule, or one of its innocent uses."""

    source: str
    named: Named
    instead: str | None
    innocent: bool

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The compiled pattern, the same for every matcher."""
        return compiled_once(self.source)


class Spans:
    """Spans of a text, sorted once: a text may have tens of thousands, and each hit asks."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(spans)
        self._starts = [start for start, _ in ordered]
        self._ends = list(accumulate((end for _, end in ordered), max))

    def hold(self, start: int, end: int) -> bool:
        """Whether one of them holds all of start..end."""
        before = bisect_right(self._starts, start)
        return before > 0 and self._ends[before - 1] >= end


@dataclass
class Matcher:
    """All words that hold for one language, category and platform."""

    negation: re.Pattern[str]
    by_head: dict[str, list[Term]] = field(default_factory=lambda: defaultdict(list))
    anywhere: list[Term] = field(default_factory=list)

    def terms(self) -> Iterator[Term]:
        """Every word and pattern, some more than once."""
        yield from self.anywhere
        for terms in self.by_head.values():
            yield from terms

    def hits(self, folded: Folded, is_fine: Callable[[Hit], bool] = lambda _: False) -> Hits:
        """What the rules find, outside innocent uses, negations and excused sentences. is_fine: what else is."""
        found, innocent = self._found(folded.text)
        uses = {rank: Spans(spans) for rank, spans in innocent.items()}
        kept: list[Hit] = []
        for hit in sorted(found, key=lambda one: one.start):
            if self._is_innocent(hit, uses, folded.text) or is_fine(hit):
                continue
            if len(kept) >= MOST_HITS:
                return Hits(without_overlaps(kept), hit)
            kept.append(hit)
        return Hits(without_overlaps(kept), None)

    def _found(self, text: str) -> tuple[list[Hit], dict[int, list[tuple[int, int]]]]:
        """Every hit, and the spans of innocent uses by the rank of their rule."""
        found: list[Hit] = []
        innocent: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for term, match in (*self._of_heads(text), *self._of_anywhere(text)):
            if match.end() > match.start():
                if term.innocent:
                    innocent[term.named.rank].append(match.span())
                else:
                    found.append(Hit(match.start(), match.end(), term.named, term.instead))
        return found, innocent

    def _of_heads(self, text: str) -> Iterator[tuple[Term, re.Match[str]]]:
        heads = self.by_head
        for place, character in enumerate(text):
            for term in heads.get(character, ()):
                if match := term.pattern.match(text, place):
                    yield term, match

    def _of_anywhere(self, text: str) -> Iterator[tuple[Term, re.Match[str]]]:
        for term in self.anywhere:
            for match in term.pattern.finditer(text):
                yield term, match

    def _is_innocent(self, hit: Hit, uses: Mapping[int, Spans], text: str) -> bool:
        if (spans := uses.get(hit.named.rank)) and spans.hold(hit.start, hit.end):
            return True
        if hit.named.rule.negatable and self.negation.search(before(text, hit.start)):
            return True
        return any(pattern.search(sentence_at(text, hit)) for pattern in hit.named.excused_by)


def before(text: str, place: int) -> str:
    """What stands in the same clause before a place, as far back as a negation reaches."""
    near = text[max(0, place - NEGATION_REACH) : place]
    marks = list(CLAUSE_MARKS.finditer(near))
    return near[marks[-1].end() :] if marks else near


def sentence_at(text: str, hit: Hit) -> str:
    """The folded sentence around a hit."""
    starts = [match.end() for match in SENTENCE_MARKS.finditer(text, max(0, hit.start - 200), hit.start)]
    end = SENTENCE_MARKS.search(text, hit.end)
    return text[starts[-1] if starts else max(0, hit.start - 200) : end.start() if end else hit.end + 200]


def without_overlaps(hits: Iterable[Hit]) -> list[Hit]:
    """The hits in the order of the text; of those that overlap the longest, then the first rule's."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda one: (one.start - one.end, one.named.rank, one.start)):
        if all(hit.end <= one.start or one.end <= hit.start for one in kept):
            kept.append(hit)
    return sorted(kept, key=lambda one: one.start)


def compiled(packs: Sequence[Pack], language: str, disguises: Disguises, negation: str) -> Matcher:
    """The matcher of these packs in one language."""
    matcher = Matcher(re.compile(negation))
    rules = [(pack, rule) for pack in packs for rule in pack.rules]
    for rank, (pack, rule) in enumerate(rules):
        wording: Wording | None = getattr(rule, language, None)
        if wording is not None:
            excused = tuple(re.compile(source) for source in wording.excused_by)
            _add(matcher, Named(pack, rule, wording, rank, excused), disguises)
    return matcher


def _add(matcher: Matcher, named: Named, disguises: Disguises) -> None:
    """A rule's words, innocent uses and patterns."""
    words = [(word, instead, False) for word, instead in named.wording.words.items()]
    words += [(word, None, True) for word in named.wording.innocent]
    for word, instead, innocent in words:
        term = Term(pattern_of(word, disguises), named, instead, innocent)
        for head in first_characters(word, disguises):
            matcher.by_head[head].append(term)
    patterns = [(one.find, one.instead, False) for one in named.wording.patterns]
    patterns += [(source, None, True) for source in named.wording.innocent_patterns]
    for source, instead, innocent in patterns:
        matcher.anywhere.append(Term(source, named, instead, innocent))
