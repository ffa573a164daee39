"""Reading a request by rules: its class, and the slots that it fills itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from agents.script.data import load
from agents.script.intent.cues import Class, class_of
from agents.script.intent.goods import Named, by_place, named_goods
from agents.script.intent.lengths import length_span
from agents.script.intent.marks import KIND, LABELLED, Mark, hidden, marks, normal
from agents.script.intent.wording import QUOTED, Wording, wording
from agents.script.words import Language

LABELS = tuple(LABELLED)
ENOUGH_ZH = re.compile(r"(?:别|不要|不用|不想)(?:那么|这么|太|再)?$|(?<!不)太$|过于$|少一?点$")
ENOUGH_EN = re.compile(
    r"(?:\bless|\btoo|\bnot (?:so|as|too|that)|\bdon't be(?: so| too)?|\bwithout being(?: too)?) $", re.IGNORECASE
)
LONGEST_ENOUGH = 40  # characters before a tone that may say that there is too much of it
REPLACED_BY = re.compile(r"[换改][成为]|\b(?:replace|change|swap)\b.*\b(?:with|by|to|for)\b", re.IGNORECASE)
VAGUE_SCENES = ("单品", "product")  # 介绍 and pitch are verbs as often as scenes


@dataclass(frozen=True)
class Reading:
    """What a request says itself. intent: the class; said: the slots that it fills, under their names; sure: 0..1."""

    intent: Class
    said: dict[str, Any]
    sure: float
    products: tuple[str, ...] = field(default=())


def read(query: str, language: Language, *, earlier: bool = False) -> Reading:
    """Read a request by rules. earlier: the session has a script that it may speak of."""
    text = normal(query)
    length = length_span(text)
    words = wording(text, language)
    quoted = quoted_product(text, words)
    plain = hidden(text, [*([length[:2]] if length else []), *words.spans, *([quoted[1]] if quoted else [])])
    marked = marks(plain, language)
    goods = named_goods(plain, marked, language)
    said = labels(plain, marked, language)
    said["length_seconds"] = length[2] if length else None
    kinds = [mark.label for mark in marked if mark.what == KIND]
    filled = any(value for name, value in said.items()) or bool(words.must_say or words.must_not_say)
    named = bool(goods or kinds or quoted)
    # The class is read in the words as they are, without those that are to be said: 别说买一送一 wants no sale.
    intent, sure = class_of(
        hidden(text, list(words.spans)), language, earlier=earlier, filled=filled or named, named=named
    )
    if intent == "chat":
        return Reading(intent, {}, sure)
    said |= spoken_words(words, intent)
    said |= products(plain, marked, goods, quoted, intent, language)
    said = without_doubtful(said, intent)
    filled_in = {name: value for name, value in said.items() if value}
    return Reading(intent, filled_in, sure, tuple(filled_in.get("products", ())))


def quoted_product(text: str, words: Wording) -> tuple[str, tuple[int, int]] | None:
    """A name in quotation marks that is not something to be said, and where it stands."""
    for match in QUOTED.finditer(text):
        if not any(start <= match.start() < end for start, end in words.spans):
            return (match.group(1) or match.group(2)).strip(), match.span()
    return None


def labels(text: str, marked: Sequence[Mark], language: Language) -> dict[str, Any]:
    """Scene, tone, occasion, audience and platform; where two are named, the lexicon's earlier one."""
    lexicon = load("lexicon")
    found: dict[str, Any] = {}
    for slot in LABELS:
        named = [mark for mark in marked if mark.what == slot]
        if slot == "tone":
            found[slot] = tone(text, named, language)
        else:
            order = list(lexicon[LABELLED[slot]][language])
            found[slot] = min((mark.label for mark in named), key=order.index, default=None)
    return found


def tone(text: str, named: Sequence[Mark], language: Language) -> str | None:
    """The tone that is wanted: the first named, or the opposite of one that there is too much of."""
    enough = ENOUGH_ZH if language == "zh" else ENOUGH_EN
    unwanted: list[Mark] = []
    wanted: list[Mark] = []
    for mark in named:
        too_much = enough.search(text[max(0, mark.start - LONGEST_ENOUGH) : mark.start])
        (unwanted if too_much else wanted).append(mark)
    if wanted:
        return wanted[0].label
    return str(load("lexicon")["opposite_tones"][language][unwanted[0].label]) if unwanted else None


def spoken_words(words: Wording, intent: Class) -> dict[str, Any]:
    """The words that must or must not be said; a question about words asks for neither."""
    if intent == "ask":
        return {}
    return {"must_say": list(words.must_say), "must_not_say": list(words.must_not_say)}


def products(
    text: str,
    marked: Sequence[Mark],
    goods: Sequence[Named],
    quoted: tuple[str, tuple[int, int]] | None,
    intent: Class,
    language: Language,
) -> dict[str, Any]:
    """{"product", "category"} or, for a batch, {"products", "category"}; only what is named."""
    kinds = [mark.label for mark in marked if mark.what == KIND]
    category = next(iter([*kinds, *(one.category for one in goods if one.category)]), None)
    if goods and goods[0].category == "baby":
        category = "baby"
    if intent == "batch":
        names = list(dict.fromkeys(one.name for one in goods)) if len(goods) > 1 else []
        return {"products": names, "category": category}
    if quoted and intent not in ("ask", "modify"):
        return {"product": quoted[0], "category": category}
    one = chosen(text, goods, intent)
    if one is None and intent in ("generate", "continue") and not kinds:
        one = by_place(text, marked, language)
    return {"product": one.name if one else None, "category": category_said(one, kinds, category)}


def category_said(one: Named | None, kinds: Sequence[str], category: str | None) -> str | None:
    """The category: the product's own, or what is named besides."""
    if one is not None and one.category:
        return one.category
    return next(iter(kinds), None) if one else category


def chosen(text: str, goods: Sequence[Named], intent: Class) -> Named | None:
    """The product that is meant where several are named: what another is replaced by, else the first."""
    if not goods or (intent == "ask" and len(goods) > 1):
        return None
    if intent == "modify" and (found := REPLACED_BY.search(text)):
        later = [one for one in goods if one.start >= found.start()]
        return later[-1] if later else goods[0]
    return goods[0]


def without_doubtful(said: dict[str, Any], intent: Class) -> dict[str, Any]:
    """The slots without what a class cannot mean: in a change, 开头 is a place and no scene."""
    if intent == "modify":
        said["scene"] = None
    if intent in ("ask", "batch") and said.get("scene") in VAGUE_SCENES[:1]:
        said["scene"] = None
    return said
