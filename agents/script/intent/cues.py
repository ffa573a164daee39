"""Cues of the classes: how a sentence shows that it wants a script, a change, more, many, an answer or nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agents.script.data import load
from agents.script.words import LANGUAGES, Language

Class: TypeAlias = Literal["generate", "modify", "continue", "batch", "ask", "chat"]


@dataclass(frozen=True)
class Cues:
    """Patterns of one language.

    talk: phrases of which small talk is made; wish: a wish in the form of a question; question: wants an answer;
    batch, more: several, and another; change: another wording, whatever else is said; write: asks for a new script;
    tweak: a change only where something is there to be changed; back: points back.
    """

    talk: re.Pattern[str]
    wish: re.Pattern[str]
    question: re.Pattern[str]
    batch: re.Pattern[str]
    more: re.Pattern[str]
    change: re.Pattern[str]
    write: re.Pattern[str]
    tweak: re.Pattern[str]
    back: re.Pattern[str]


def pattern(alternatives: Iterable[str]) -> re.Pattern[str]:
    """One pattern of alternatives, blind to case."""
    return re.compile("|".join(alternatives), re.IGNORECASE)


def pointing(name: str) -> re.Pattern[str]:
    """A pattern of how requests point back."""
    return pattern(load("cues")["pointing"][name])


def cues_of(language: Language) -> Cues:
    """The patterns of one language, from the data file."""
    written = load("cues")["classes"][language]
    return Cues(**{name: pattern(written[name]) for name in Cues.__dataclass_fields__})


CUES: dict[Language, Cues] = {language: cues_of(language) for language in LANGUAGES}
NO_LETTERS = re.compile(r"[\W_]+")


def class_of(text: str, language: Language, *, earlier: bool, filled: bool, named: bool) -> tuple[Class, float]:
    """(class, how sure). earlier: there is a script; filled: a slot is named; named: a product or a category is."""
    cues = CUES[language]
    if is_talk(text, cues) and not filled:
        return "chat", 0.9
    more, wish = cues.more.search(text), cues.wish.search(text)
    if cues.question.search(text) and not wish and not more:
        return "ask", 0.85
    if cues.batch.search(text):
        return "batch", 0.85
    change, write = cues.change.search(text), cues.write.search(text)
    if more and not (change and not named and language == "en"):
        return "continue", 0.9 if earlier else 0.6
    if change and not (language == "en" and write and write.start() == 0 and not cues.back.search(text)):
        return "modify", 0.9 if earlier else 0.6
    pointed = earlier and cues.back.search(text)
    if write and not pointed and (named or not (earlier and cues.tweak.search(text))):
        return "generate", 0.9 if filled or named else 0.6
    if cues.tweak.search(text) and (earlier or not (named or write)):
        return "modify", 0.8 if earlier else 0.5
    if earlier and (pointed or filled) and not named:
        return "modify", 0.6
    if filled or named or write:
        return "generate", 0.7
    return "chat", 0.5


def is_talk(text: str, cues: Cues) -> bool:
    """Whether nothing is left of a text without the phrases of small talk."""
    return not NO_LETTERS.sub("", cues.talk.sub("", text))
