"""What can be said in one script: sentences of lines, facts and the vertical's words, none of them twice."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.quality.sentences import sentences
from agents.script.words import spoken_length
from agents.script.writing import grammar
from agents.script.writing.grammar import Line, Vocabulary, parse

VERTICALS = ("beauty", "food", "fashion", "digital", "home", "baby", "general")
CONTENT = {"pain": "pains", "question": "questions", "talk": "talks", "tip": "tips"}  # each is said once a script
ONCE = ("specification", "origin", "ingredients", "certifications", "brand", "suits", "stock_note", "original_price")
WANTED = ("creator", "occasion", "category", "product", "audience")
TRIES = 8  # sentences that are tried for one place
TONE_LINES = 0.75  # how often a line of the tone comes before one for any
DEFAULT_TONE_KEY = "any"
LONG_CLAUSE = 4  # characters


@dataclass(frozen=True)
class Said:
    """A sentence, and what it was made of, so that it can be worded otherwise."""

    text: str
    length: int
    line: Line
    vocabulary: Vocabulary
    names: frozenset[str]
    checked: bool


class Speech:
    """Hands out sentences for one script. fine: whether a sentence may be said at all."""

    def __init__(self, brief: Brief, chance: random.Random, fine: Callable[[str], bool]) -> None:
        self.brief = brief
        self.chance = chance
        self.fine = fine
        self.texts: set[str] = set()
        self.clauses: set[str] = set()
        self.lines_used: Counter[Line] = Counter()
        self.told: set[str] = set()
        self.old_points: list[str] = []
        self.lines = moves(brief.language)
        own, everyone = vertical(brief), load(f"templates/{brief.language}/general")
        self.content = {name: self._shuffled(own, everyone, key) for name, key in CONTENT.items()}
        self.points = [point for point in brief.points if fine(point)]
        self.tone = tone_of(brief)
        self.words = {**words_of_tone(brief), "stuff": own["stuff"]}

    def _shuffled(self, own: Mapping[str, Any], everyone: Mapping[str, Any], key: str) -> list[str]:
        """The vertical's words by chance, then those that fit any."""
        first = self.chance.sample(own[key], len(own[key]))
        return first if own is everyone else first + self.chance.sample(everyone[key], len(everyone[key]))

    def say(self, move: str, longest: float, fact: str | None = None) -> Said | None:
        """A sentence for a move, not longer than that where one is short enough; None where none can be said."""
        vocabulary = self.vocabulary(fact)
        best: Said | None = None
        for _ in range(TRIES):
            line = self._line(move, vocabulary)
            if line is None:
                return None
            one = self.worded(line, vocabulary, checked=fact is None)
            if one and (best is None or self._cost(one, longest) < self._cost(best, longest)):
                best = one
            if best and self._cost(best, longest) == (0, 0):
                break
        return best

    def _cost(self, said: Said, longest: float) -> tuple[float, int]:
        """What speaks against a sentence: how much longer it is than there is room, and clauses that were heard."""
        return max(0.0, said.length - longest), sum(1 for clause in clauses(said.text) if clause in self.clauses)

    def worded(self, line: Line, vocabulary: Vocabulary, *, checked: bool) -> Said | None:
        """A line as one sentence, or None where it was said already or must not be said."""
        names: set[str] = set()
        text = tidied(grammar.say(line, vocabulary, self.chance, names), self.brief.language)
        if sentences_in(text) & self.texts or (checked and not self.fine(text)):
            return None
        return Said(text, spoken_length(text, self.brief.language), line, vocabulary, frozenset(names), checked)

    def reworded(self, said: Said) -> Said | None:
        """The same line with the same facts in other words, in the place of what it said."""
        self.texts -= sentences_in(said.text)
        one = self.worded(said.line, said.vocabulary, checked=said.checked)
        self.texts |= sentences_in(said.text)
        return one if one and said.names & set(WANTED) <= one.names else None

    def replace(self, old: Said, new: Said) -> None:
        """Note that a sentence stands in the place of another."""
        self.texts = self.texts - sentences_in(old.text) | sentences_in(new.text)

    def keep(self, said: Said) -> None:
        """Note that a sentence is in the script."""
        self.texts |= sentences_in(said.text)
        self.clauses |= clauses(said.text)
        self.lines_used[said.line] += 1
        self.told |= said.names
        for name in CONTENT:
            if name in said.names:
                self.content[name].remove(said.vocabulary.words[name][0])
        if "point" in said.names:
            self.old_points.append(said.vocabulary.facts["point"])
            self.points.remove(said.vocabulary.facts["point"])

    def vocabulary(self, must_say: str | None) -> Vocabulary:
        """What names stand for now."""
        given = self.brief.facts
        facts = {name: str(value) for name, value in given.items() if value is not None}
        facts["subject"] = facts.get("product") or facts["category"]
        for name in ONCE:
            if name in self.told and name in facts:
                facts[f"old_{name}"] = facts.pop(name)
        if facts.get("price") is not None:
            facts.setdefault("currency", "")
        if self.points:
            facts["point"] = self.points[0]
        if self.old_points:
            facts["old_point"] = self.chance.choice(self.old_points)
            facts["later"] = ""  # lines such as "and then there is" come after a first point
        if self.brief.catch_phrases:
            facts["catch_phrase"] = self.chance.choice(list(self.brief.catch_phrases))
        if must_say:
            facts["must_say"] = must_say.strip().rstrip("。！？.!?；;，,")
        words = {**self.words, **{name: items[:1] for name, items in self.content.items()}}
        return Vocabulary(facts, words, {name for name in WANTED if name in facts and name not in self.told})

    def _line(self, move: str, vocabulary: Vocabulary) -> Line | None:
        """A line of the move: one of the tone before one for any, one less used, one that says more that is wanted."""
        by_tone = self.lines[move]
        own, any_tone = by_tone.get(self.tone, ()), by_tone.get(DEFAULT_TONE_KEY, ())
        first, second = (own, any_tone) if self.chance.random() < TONE_LINES else (any_tone, own)
        for lines in (first, second):
            possible = [line for line in lines if grammar.can_say(line, vocabulary)]
            if possible:
                rank = {line: (-grammar.wanted_in(line, vocabulary), self.lines_used[line]) for line in possible}
                least = min(rank.values())
                return self.chance.choice([line for line in possible if rank[line] == least])
        return None


def pains_for(brief: Brief, chance: random.Random) -> list[str]:
    """The vertical's pain points in plain words, by chance."""
    pains = vertical(brief)["pains"]
    nothing = Vocabulary({"category": str(brief.facts["category"])}, words_of_tone(brief))
    return [grammar.say(parse(pain), nothing, chance, set()) for pain in chance.sample(pains, len(pains))]


def moves(language: str) -> Mapping[str, Mapping[str, Sequence[Line]]]:
    """Every move of a language with its lines by tone."""
    parts = {name: part for name, part in load(f"templates/{language}/lines").items() if name != "words"}
    found = {move: tones for name, part in parts.items() if name != "say" for move, tones in part.items()}
    found["say"] = parts["say"]
    return {
        move: {tone: [parse(line) for line in lines] for tone, lines in tones.items()} for move, tones in found.items()
    }


def words_of_tone(brief: Brief) -> Mapping[str, Sequence[str]]:
    """The small words of a tone."""
    return dict(load(f"templates/{brief.language}/lines")["words"][tone_of(brief)])


def tone_of(brief: Brief) -> str:
    """The asked tone, or the language's usual one where there are no lines of that tone."""
    known = load(f"templates/{brief.language}/lines")["words"]
    return brief.tone if brief.tone in known else str(load(f"templates/{brief.language}")["default_tone"])


def vertical(brief: Brief) -> Mapping[str, Any]:
    """What a host of this vertical talks about; of any goods where there is no such vertical."""
    name = brief.category if brief.category in VERTICALS else "general"
    found: Mapping[str, Any] = load(f"templates/{brief.language}/{name}")
    return found


def sentences_in(text: str) -> set[str]:
    """The sentences of a line: none is said twice."""
    return {text[start:end].strip() for start, end in sentences(text)}


def clauses(text: str) -> set[str]:
    """The pieces between marks; the shortest may come again."""
    return {clause for clause in re.split(r"[，。！？：、,.!?:;]\s*", text.lower()) if len(clause) >= LONG_CLAUSE}


def tidied(text: str, language: str) -> str:
    """A sentence without the traces of what was left out, and in English with capitals."""
    if language == "zh":
        return re.sub(r"，(?=[，。！？：])", "", text).strip("， ")
    text = re.sub(r"\s+", " ", text).strip(" ,")
    text = re.sub(r" (?=[,.!?;:])", "", text)
    text = re.sub(r",(?=[,.!?;:])", "", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match[1] + match[2].upper(), text)
