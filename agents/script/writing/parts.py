"""The parts of a script: what each is for, its text, and how long it takes to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from agents.script.words import Language, spoken_length
from settings import settings


class Part(TypedDict):
    """One spoken part of a script: what it is for, its text, and who worded it ("model" or "rules")."""

    kind: str
    text: str
    by: str


class TimedPart(Part):
    """A part with the seconds that it takes to say."""

    seconds: float


def spoken_a_minute(language: Language) -> int:
    """How much a host says in a minute: Chinese characters, English words."""
    return settings().script_characters_a_minute if language == "zh" else settings().script_words_a_minute


def seconds_of(text: str, language: Language) -> float:
    """How long a text takes to say."""
    return round(spoken_length(text, language) * 60 / spoken_a_minute(language), 1)


def timed(parts: Sequence[Part], language: Language) -> list[TimedPart]:
    """The parts with their seconds."""
    return [
        TimedPart(kind=part["kind"], text=part["text"], by=part["by"], seconds=seconds_of(part["text"], language))
        for part in parts
    ]


def joined(parts: Sequence[Part]) -> str:
    """The script as one text, one part a line."""
    return "\n".join(part["text"] for part in parts)
