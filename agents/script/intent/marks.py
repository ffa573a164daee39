"""Marking a request: which of the lexicon's words stand where, each character taken once, the longest word first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents.script.data import load
from agents.script.words import Language

LABELLED = {
    "scene": "scenes",
    "tone": "tones",
    "occasion": "occasions",
    "audience": "audiences",
    "platform": "platforms",
}
GOODS, KIND = "goods", "kind"
NO_CATEGORY = ""
HIDDEN = "\u2581"
FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


@dataclass(frozen=True)
class Mark:
    """A word of the lexicon in a text. what: a slot, "goods" or "kind"; label: the slot's value, or a category."""

    what: str
    label: str
    start: int
    end: int


def normal(text: str) -> str:
    """The text with full-width letters and digits made plain; every character keeps its place."""
    return text.translate(FULL_WIDTH).replace("\u2019", "'")


def hidden(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with these spans blotted out, so that no rule reads them; every character keeps its place."""
    return blotted(text, spans, HIDDEN)


def blotted(text: str, spans: Sequence[tuple[int, int]], blot: str = " ") -> str:
    """The text with each character of these spans replaced; one pass, because a long text has many of them."""
    characters = list(text)
    for start, end in spans:
        characters[start:end] = blot * (end - start)
    return "".join(characters)


def marks(text: str, language: Language) -> list[Mark]:
    """Every word of the lexicon, in the order of the text. A word with two meanings gives a mark for each."""
    found, meanings = vocabulary(language)
    return [
        Mark(what, label, match.start(), match.end())
        for match in found.finditer(text)
        for what, label in meanings[base(match.group(), meanings)]
    ]


def base(word: str, meanings: dict[str, Any]) -> str:
    """The lexicon's form of a word that stands in a text: lower case, without a plural's ending."""
    lower = word.lower()
    return next(form for form in (lower, lower[:-1], lower[:-2]) if form in meanings)


@cache
def vocabulary(language: Language) -> tuple[re.Pattern[str], dict[str, list[tuple[str, str]]]]:
    """(one pattern of all words, word -> its meanings), made once a process."""
    meanings: dict[str, list[tuple[str, str]]] = {}
    for word, what, label in entries(language):
        if (what, label) not in meanings.setdefault(word.lower(), []):
            meanings[word.lower()].append((what, label))
    longest_first = "|".join(re.escape(word) for word in sorted(meanings, key=lambda word: (-len(word), word)))
    if language == "zh":
        return re.compile(longest_first, re.IGNORECASE), meanings
    return re.compile(rf"(?<![a-z0-9])(?:{longest_first})(?:e?s)?(?![a-z0-9])", re.IGNORECASE), meanings


def entries(language: Language) -> Iterator[tuple[str, str, str]]:
    """(word, what it is, label) of everything in the lexicon."""
    lexicon = load("lexicon")
    for slot, table in LABELLED.items():
        for label, words in lexicon[table][language].items():
            yield from ((str(word), slot, str(label)) for word in words)
    for code, names in lexicon["categories"].items():
        yield from ((str(word), GOODS, str(code)) for word in names[language]["goods"])
        yield from ((str(word), KIND, str(code)) for word in names[language]["kinds"])
    yield from ((str(word), GOODS, NO_CATEGORY) for word in lexicon["other_goods"][language])
