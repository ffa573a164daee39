"""Finding words in a request: which language it is in, and which of the lexicon's entries it names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")

CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
ENGLISH_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9'\-]*")


def language_of(text: str) -> Language:
    """ "zh" as soon as a text holds a Chinese character, else "en"."""
    return "zh" if CHINESE.search(text) else "en"


def find_word(word: str, text: str, language: Language, start: int = 0) -> int:
    """Where `word` stands in `text` from `start` on, or -1; whole words only where words have spaces between them."""
    if language == "zh" or CHINESE.search(word):
        return text.lower().find(word.lower(), start)
    pattern = r"(?<![A-Za-z0-9])" + re.escape(word) + r"(?![A-Za-z0-9])"
    found = re.compile(pattern, re.IGNORECASE).search(text, start)
    return found.start() if found else -1


def has_any(words: Iterable[str], text: str, language: Language) -> bool:
    """Whether one of the words stands in the text."""
    return any(find_word(word, text, language) >= 0 for word in words)


def first_named(entries: Mapping[str, Iterable[str]], text: str, language: Language) -> str | None:
    """The key of the first entry, in the file's order, one of whose words stands in the text."""
    return next((key for key, words in entries.items() if has_any(words, text, language)), None)


def spoken_length(text: str, language: Language) -> int:
    """How long a script is when spoken: Chinese characters and numbers' digits, or English words."""
    if language == "zh":
        return len(re.findall(r"[\u3400-\u9fff0-9A-Za-z]", text))
    return len(ENGLISH_WORD.findall(text))
