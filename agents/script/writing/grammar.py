"""A small grammar for spoken lines: "(hello|hi), {product} (is here|has come)" is four sentences.

    (one|other|)    one of these, chosen by chance; they may nest
    {name}          a fact, which is said as it stands, or a word list, of which one is chosen
    {name|other}    the fact, or other words where there is none

An alternative whose facts are not there is never chosen; one that says what is wanted said comes before the others.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, TypeAlias


class Name(NamedTuple):
    """A fact or word list by its name. other: what is said without it; None: nothing can be."""

    name: str
    other: str | None


class Choice(NamedTuple):
    """Alternatives, one of which is said."""

    alternatives: tuple[Line, ...]


Line: TypeAlias = tuple["str | Name | Choice", ...]


@dataclass
class Vocabulary:
    """What names stand for. facts: said as they are; words: lines to choose from; wanted: facts to be said soon."""

    facts: Mapping[str, str]
    words: Mapping[str, Sequence[str]]
    wanted: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        """Whether a name stands for anything."""
        return name in self.facts or bool(self.words.get(name))


@cache
def parse(source: str) -> Line:
    """The line that a source means. ValueError where a bracket does not close."""
    line, end = _sequence(source, 0, "")
    if end != len(source):
        raise ValueError(f"a bracket too many at {end} of {source!r}")
    return line


def _sequence(source: str, at: int, ends: str) -> tuple[Line, int]:
    """What stands from `at` to the first of the characters `ends`, and where that is."""
    items: list[str | Name | Choice] = []
    while at < len(source) and source[at] not in (ends or ")"):
        if source[at] == "(":
            choice, at = _choice(source, at + 1)
            items.append(choice)
        elif source[at] == "{":
            close = source.index("}", at)
            name, bar, other = source[at + 1 : close].partition("|")
            items.append(Name(name, other if bar else None))
            at = close + 1
        else:
            start = at
            while at < len(source) and source[at] not in "({" + (ends or ")"):
                at += 1
            items.append(source[start:at])
    return tuple(items), at


def _choice(source: str, at: int) -> tuple[Choice, int]:
    alternatives: list[Line] = []
    while True:  # each round reads one alternative of a source that is as long as it is
        line, at = _sequence(source, at, "|)")
        alternatives.append(line)
        if at >= len(source):
            raise ValueError(f"a bracket is not closed in {source!r}")
        at += 1
        if source[at - 1] == ")":
            return Choice(tuple(alternatives)), at


def can_say(line: Line, vocabulary: Vocabulary) -> bool:
    """Whether all that a line needs is there."""
    return all(_can_say_one(item, vocabulary) for item in line)


def _can_say_one(item: str | Name | Choice, vocabulary: Vocabulary) -> bool:
    if isinstance(item, Name):
        return item.other is not None or vocabulary.has(item.name)
    if isinstance(item, Choice):
        return any(can_say(line, vocabulary) for line in item.alternatives)
    return True


def names_in(line: Line) -> set[str]:
    """Every name of a line, at any depth."""
    found: set[str] = set()
    for item in line:
        if isinstance(item, Name):
            found.add(item.name)
        elif isinstance(item, Choice):
            found |= {name for one in item.alternatives for name in names_in(one)}
    return found


def wanted_in(line: Line, vocabulary: Vocabulary) -> int:
    """How many wanted facts a line can say."""
    return sum(1 for name in names_in(line) & vocabulary.wanted if name in vocabulary.facts)


def say(line: Line, vocabulary: Vocabulary, chance: random.Random, said: set[str]) -> str:
    """One of the line's sentences; the names that it used are added to `said`. The line must be one that `can_say`."""
    return "".join(_say_one(item, vocabulary, chance, said) for item in line)


def _say_one(item: str | Name | Choice, vocabulary: Vocabulary, chance: random.Random, said: set[str]) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, Choice):
        return say(_chosen(item, vocabulary, chance, said), vocabulary, chance, said)
    if item.name in vocabulary.facts:
        # What was said already need not come again where other words do as well.
        is_new = item.name in vocabulary.wanted and item.name not in said
        if item.other is not None and not is_new and chance.random() < 0.5:
            return item.other
        said.add(item.name)
        return vocabulary.facts[item.name]
    if vocabulary.words.get(item.name):
        said.add(item.name)
        return say(parse(chance.choice(list(vocabulary.words[item.name]))), vocabulary, chance, said)
    return item.other or ""


def _chosen(choice: Choice, vocabulary: Vocabulary, chance: random.Random, said: set[str]) -> Line:
    possible = [line for line in choice.alternatives if can_say(line, vocabulary)]
    left = Vocabulary(vocabulary.facts, vocabulary.words, vocabulary.wanted - said)
    counts = [wanted_in(line, left) for line in possible]
    most = max(counts)
    return chance.choice([line for line, count in zip(possible, counts, strict=True) if count == most])
