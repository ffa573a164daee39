"""A forbidden word as a pattern over folded text that also finds its disguises.

In Chinese: a character's look-alikes and sound-alikes, its pinyin, other spellings of the whole word, and up to three
signs, spaces or emoji between characters. In English: digits and signs for letters, and letters spelled out one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from agents.script.quality.folding import plain
from agents.script.words import CHINESE

GAP = r"[^\w\n]{0,3}"  # what may stand between two characters of a Chinese word
WORD_GAP = r"[^\w\n]{1,3}"
SPELLED_GAP = r"[^\w\n]{1,2}"
INSIDE_GAP = r"[*·•~\-]?"
LETTERS = {
    "a": "[a@4]", "e": "[e3]", "i": "[i1!]", "l": "[l1]", "o": "[o0]", "s": "[s$5]", "t": "[t7]", "1": "[1一壹l]",
}  # fmt: skip


@dataclass(frozen=True)
class Disguises:
    """How words are disguised. sounds: pinyin of characters, without tones; alike: characters that are written in
    another's place; alike_in_words: those that are so only within a word; spellings: a word's other spellings."""

    sounds: Mapping[str, str]
    alike: Mapping[str, str]
    alike_in_words: Mapping[str, str]
    spellings: Mapping[str, tuple[str, ...]]

    @cached_property
    def rewritten(self) -> Mapping[str, tuple[str, ...]]:
        """Part of a word -> what is written in its place, folded."""
        return {plain(word): tuple(map(plain, others)) for word, others in self.spellings.items()}


NO_DISGUISES = Disguises({}, {}, {}, {})


def pattern_of(word: str, disguises: Disguises) -> str:
    """The source of a pattern that finds the word and its disguises in folded text."""
    folded = plain(word.strip())
    others = sorted(set(variants(folded, disguises)) - {folded})
    return "|".join(one_pattern(variant, disguises) for variant in (folded, *others))


def variants(word: str, disguises: Disguises) -> Iterator[str]:
    """The word with each part that has other spellings in each of them."""
    yield word
    for part, others in disguises.rewritten.items():
        if part in word:
            yield from (word.replace(part, other) for other in others)


def one_pattern(word: str, disguises: Disguises) -> str:
    """The pattern of one spelling."""
    return chinese_pattern(word, disguises) if CHINESE.search(word) else latin_pattern(word)


def chinese_pattern(word: str, disguises: Disguises) -> str:
    """Character by character, each as itself or as what stands for it, with gaps between."""
    characters = [character for character in word if not character.isspace()]
    last = len(characters) - 1
    return GAP.join(
        stand_ins(one, disguises, first=i == 0, last=i == last, long=last > 1) for i, one in enumerate(characters)
    )


def stand_ins(character: str, disguises: Disguises, *, first: bool, last: bool, long: bool) -> str:
    """One character of a word: itself, its look-alikes, its pinyin, and in a long word the pinyin's first letter."""
    if character.isascii():
        edge = r"(?<![a-z0-9])" if first else ""
        end = r"(?![a-z0-9])" if last else ""
        return edge + LETTERS.get(character, re.escape(character)) + end
    alone = first and last
    alike = character + disguises.alike.get(character, "")
    alike += "" if alone else disguises.alike_in_words.get(character, "")
    itself = f"[{re.escape(alike)}]" if len(alike) > 1 else character  # "z-a" is three characters, no range
    sound = disguises.sounds.get(character)
    if alone or not sound:
        return itself
    before, after = (r"(?<![a-z])" if first else ""), (r"(?![a-z])" if last else "")
    initial = f"|{sound[0]}(?![a-z])" if long and not first else ""  # "国j级" is 国家级
    return f"(?:{itself}|{before}{sound}[1-5]?{after}{initial})"


def latin_pattern(word: str) -> str:
    """Whole words; letters may be digits or signs, and may be spelled out with something between every two."""
    parts = [part for part in re.split(r"[\s\-.]+", word) if part]
    plain_words = WORD_GAP.join(INSIDE_GAP.join(letter(one) for one in part) for part in parts)
    spelled = SPELLED_GAP.join(letter(one) for part in parts for one in part)
    if word[:1].isalnum() and len(parts) > 1 and any(part.isdigit() for part in parts):
        plain_words = plain_words.replace(WORD_GAP, r"[^\w\n]{0,3}")
    start = r"(?<![a-z0-9])" if word[:1].isalnum() else ""
    end = r"(?![a-z0-9])" if word[-1:].isalnum() else ""
    return f"{start}(?:{plain_words}|{spelled}){end}" if len(word) > 2 else f"{start}{plain_words}{end}"


def letter(one: str) -> str:
    """A letter, and the digits and signs that are written for it."""
    return LETTERS.get(one, re.escape(one))


def first_characters(word: str, disguises: Disguises) -> frozenset[str]:
    """With which characters of folded text a match can begin: only there the pattern is tried."""
    found: set[str] = set()
    folded = plain(word.strip())
    for variant in variants(folded, disguises):
        head = variant[0]
        others = LETTERS.get(head, "").strip("[]") if head.isascii() else disguises.alike.get(head, "")
        found |= {head, *others, *disguises.alike_in_words.get(head, ""), disguises.sounds.get(head, head)[0]}
    return frozenset(found)
