"""Facts: which of them a script states, and what it states that no fact supports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias, TypedDict

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.quality.finding import Finding, finding
from agents.script.quality.folding import Folded, fold, plain
from agents.script.quality.matching import Hit
from agents.script.quality.numbers import ANY_COUNTED, COUNTED, Number, numbers_in
from agents.script.words import LANGUAGES

NO_FACTS = {
    "id", "known", "category", "category_label", "language", "fields", "banned", "brand_bans", "compliance_tags",
    "currency", "created_at", "updated_at", "archived_at",
}  # fmt: skip
NAMES = ("name", "brand")
MAX_FACTS, MAX_PLACES = 200, 20
SHORTEST_FACT = 2
DIGITS = re.compile(r"\d+(?:\.\d+)?")


class FactUsed(TypedDict):
    """A fact of the product's row that the script states: the row's field, where the row has it from, its value, and
    where it stands."""

    field: str
    source: str | None
    value: str
    start: int
    end: int


class Fact(NamedTuple):
    """One value of the row, and itself folded."""

    field: str
    value: str
    folded: str


def facts_of_row(row: Mapping[str, Any]) -> list[Fact]:
    """Every value of the product's row that a sentence may state; lists and nested values one by one."""
    pairs = [pair for field, value in row.items() if field not in NO_FACTS for pair in _values(field, value, 0)]
    return [Fact(field, value, plain(value)) for field, value in pairs[:MAX_FACTS]]


def _values(field: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Texts and numbers within a value. depth: a row nests two levels at most."""
    if isinstance(value, Mapping) and depth < 2:
        for name, inner in value.items():
            yield from _values(f"{field}.{name}", inner, depth + 1)
    elif isinstance(value, list | tuple) and depth < 2:
        for inner in value:
            yield from _values(field, inner, depth + 1)
    elif isinstance(value, str | int | float | Decimal) and not isinstance(value, bool) and str(value).strip():
        yield field, str(value).strip()


def row_of(brief: Brief) -> dict[str, Any]:
    """The row as far as the brief has it, for a part that is checked before there is a whole script."""
    names = ("product", "price", "currency", "offer", "specification")
    return {**{name: brief.facts.get(name) for name in names}, "selling_points": list(brief.points)}


def facts_used(script: str, row: Mapping[str, Any]) -> list[FactUsed]:
    """Where the script states the row's facts, in the order of the text."""
    folded = fold(script)
    sources, currency = row.get("fields") or {}, plain(str(row.get("currency") or ""))
    used = [
        FactUsed(field=fact.field, source=sources.get(fact.field), value=fact.value, start=start, end=end)
        for fact in facts_of_row(row)
        for start, end in _places(fact, folded, currency)
    ]
    return sorted(used, key=lambda one: (one["start"], -one["end"]))


def _places(fact: Fact, folded: Folded, currency: str) -> Iterator[tuple[int, int]]:
    """Every place of one fact; a price as a number, whatever way it is written."""
    if fact.field.endswith("price"):
        spans = _price_places(fact, folded.text, currency)
    elif len(fact.folded) < SHORTEST_FACT:
        return
    else:
        edges = (r"(?<![a-z0-9])", r"(?![a-z0-9])") if fact.folded.isascii() else ("", "")
        found = re.finditer(edges[0] + re.escape(fact.folded) + edges[1], folded.text)
        spans = [match.span() for match in found]
    yield from (folded.original(start, end) for start, end in spans[:MAX_PLACES])


def _price_places(fact: Fact, text: str, currency: str) -> list[tuple[int, int]]:
    wanted = {number.value for number in numbers_in(fact.folded)}
    spans = []
    for number in numbers_in(text):
        if number.value in wanted and number.unit in ("money", None):
            end = number.end + len(currency) if currency and text.startswith(currency, number.end) else number.end
            spans.append((number.start, end))
    return spans


# ------------------------------------------------------------------------------------------------------- unsupported


NOT_OF_PRODUCT = ("creator", "catch_phrase", "category", "occasion", "platform", "audience")
Counted: TypeAlias = tuple[Decimal, str | None]  # a number and its unit
Ban: TypeAlias = tuple[str, str, str]  # whose, the name of who it is, the word


@dataclass(frozen=True)
class Known:
    """What a script may rest on, folded once for all its sentences.

    text: all the row says; names: of the product, its brand and the creator; registered: those of them by which the
    product's row calls it; labels: of the category, in the lexicon's
    words; phrases: of the request and the creator, with numbers that hold within them only; numbers: of the row;
    prices: those that are money; bare: the digits within codes such as SPF50 too; said: numbers with their unit that
    the request says.
    """

    text: str
    names: tuple[str, ...]
    registered: tuple[str, ...]
    labels: tuple[str, ...]
    bans: tuple[Ban, ...]
    phrases: tuple[str, ...]
    numbers: frozenset[Counted]
    prices: frozenset[Decimal]
    bare: frozenset[Decimal]
    said: frozenset[Counted]


def known_from(brief: Brief, row: Mapping[str, Any] | None = None, bans: Sequence[Ban] = ()) -> Known:
    """What is known of a brief. row: the product's, without one the brief's own, or what its facts know of it; bans:
    beside those of the brief."""
    row = (brief.row or row_of(brief)) if row is None else row
    facts = facts_of_row(row)
    of_product = [fact for name, value in brief.facts.items() if name not in NOT_OF_PRODUCT
                  for fact in facts_of_row({name: value})]  # fmt: skip
    held = [*facts, *of_product, *facts_of_row({"selling_points": list(brief.points)})]
    prices = frozenset(n.value for fact in held if fact.field.endswith("price") for n in numbers_in(fact.folded))
    names = [*(brief.facts.get(name) for name in ("product", "creator")), row.get("name"), row.get("brand")]
    phrases = [*(brief.facts.get(name) for name in NOT_OF_PRODUCT), *brief.catch_phrases]
    asked = counted([plain(brief.query)])
    if prices:  # what it costs says the row
        asked = frozenset(one for one in asked if one[1] not in ("money", "discount", None))
    return Known(
        text="\n".join(fact.folded for fact in facts),
        names=tuple(plain(str(name)) for name in [*names, *(row.get("aliases") or ())] if name),
        # A name that only the request says is nobody's: `known` is false, and nobody stands for it.
        registered=tuple(plain(str(row[name])) for name in NAMES if row.get(name) and row.get("known", True)),
        labels=tuple(plain(label) for label in category_labels() if label == brief.facts.get("category")),
        bans=tuple(dict.fromkeys([*bans_of(brief, row), *bans])),
        phrases=tuple(text for text in (plain(str(phrase)) for phrase in phrases if phrase) if DIGITS.search(text)),
        numbers=counted(fact.folded for fact in held),
        prices=prices,
        bare=frozenset(Decimal(digits).normalize() for fact in held for digits in DIGITS.findall(fact.folded)),
        said=asked | counted(map(plain, brief.must_say)),
    )


def counted(texts: Iterable[str]) -> frozenset[Counted]:
    """The numbers of folded texts with what they count."""
    return frozenset((number.value, number.unit) for text in texts for number in numbers_in(text))


def category_labels() -> list[str]:
    """What the lexicon calls its categories: another label is free text, and excuses nothing."""
    return [each[language]["label"] for each in load("lexicon")["categories"].values() for language in LANGUAGES]


def bans_of(brief: Brief, row: Mapping[str, Any]) -> Iterator[Ban]:
    """Every word that is not said: the creator's, the brands' and the request's own."""
    creator = str(brief.facts.get("creator") or "")
    wanted = [("creator", creator, word) for word in brief.banned]
    wanted += [("brand", "", word) for word in (*brief.brand_bans, *(row.get("brand_bans") or ()))]
    wanted += [("request", "", word) for word in brief.must_not_say]
    return (one for one in wanted if plain(one[2]).strip())


def unsupported_numbers(script: str, folded: Folded, language: str, known: Known) -> Iterator[Finding]:
    """Numbers that no fact holds, or that count something else there."""
    for number in numbers_in(folded.text):
        if not (_is_given(number, known) or _is_in_phrase(number, folded.text, known)):
            start, end = folded.original(number.start, number.end)
            message = {"zh": f"商品资料里没有这个数字：{script[start:end]}", "en": f"no fact says {script[start:end]}"}
            yield finding("fact-number", script, start, end, message[language], family="number", pack="fact")


def _is_given(number: Number, known: Known) -> bool:
    """With a unit: the row or the request says the same number of the same, or the row leaves open of what (a price is
    money). 30 pieces are no 30 boxes, but 「30个」 is said of anything that is counted; without a unit, a number of the
    row's is enough."""
    one = (number.value, number.unit)
    if one in known.numbers or one in known.said:
        return True
    if number.unit is None and number.value in known.bare:
        return True
    if number.unit == ANY_COUNTED and any((number.value, unit) in known.numbers for unit in COUNTED):
        return True
    if number.unit == "money" and number.value in known.prices:
        return True
    return (number.value, None) in known.numbers and number.value not in known.prices


def _is_in_phrase(number: Number, text: str, known: Known) -> bool:
    """Whether the number is part of a phrase that stands there whole, and counts the same in it: "618" the day."""
    for phrase in known.phrases:
        for own in numbers_in(phrase):
            start = number.start - own.start
            same = (own.value, own.unit) == (number.value, number.unit)
            if same and start >= 0 and text.startswith(phrase, start):
                return True
    return False


def is_supported(hit: Hit, text: str, known: Known) -> bool:
    """Whether the row says what a claim says: in its own words, or in others of the rule's that mean the same."""
    said = text[hit.start : hit.end]
    if said in known.text:
        return True
    groups = [[plain(word) for word in group] for group in hit.named.rule.support]
    return any(any(w in said for w in group) and any(w in known.text for w in group) for group in groups)
