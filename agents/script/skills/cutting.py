"""A script made shorter: the sentences that sell stay, the others go, the least important first. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.script.brief import Brief
from agents.script.quality.folding import plain
from agents.script.quality.sentences import sentences
from agents.script.rule_writer import write_by_rules
from agents.script.words import Language, spoken_length
from agents.script.writing.parts import Part, joined

# How soon sentences of a part go: what the scene can do without before what sells.
RANKS = (
    "preview", "interaction", "pain_point", "proof", "farewell", "opening", "body", "product", "call_to_action",
    "offer",
)  # fmt: skip
FACTS = ("product", "price", "offer", "original_price", "specification")
MISS, WORST_MISS = 0.08, 0.15  # of the length that is asked for: what is aimed at, and what is put up with


@dataclass(frozen=True)
class Piece:
    """A sentence of a part. rank: how soon it goes, the lowest first; needed: it stays."""

    part: int
    text: str
    length: int
    rank: tuple[int, int]
    needed: bool


def shortened(brief: Brief, parts: Sequence[Part], target: int) -> list[Part]:
    """The script of about the target's length.

    One that cannot be cut so far without losing what it sells is written anew, at that length.
    """
    cut = without_the_least(brief, parts, target, 1 - WORST_MISS)
    if spoken_length(joined(cut), brief.language) > target * (1 + WORST_MISS):
        return write_by_rules(replace(brief, target_length=target), f"{brief.query}/{target}")
    return cut


def without_the_least(brief: Brief, parts: Sequence[Part], target: int, least: float) -> list[Part]:
    """The parts without the sentences that matter least. least: how much of the target has to be left."""
    kept = pieces_of(brief, parts)
    for piece in sorted(kept, key=lambda one: one.rank):
        length = sum(one.length for one in kept)
        if length <= target * (1 + MISS):
            break
        if not piece.needed and length - piece.length >= target * least:
            kept.remove(piece)
    return parts_from(brief, parts, kept)


def pieces_of(brief: Brief, parts: Sequence[Part]) -> list[Piece]:
    """Every sentence with its weight. How it begins, what names the goods and what has to be said is needed."""
    facts = [plain(str(brief.facts[name])) for name in FACTS if brief.facts.get(name)]
    said = [plain(text) for text in brief.must_say]
    found: list[Piece] = []
    named: set[str] = set()
    for place, part in enumerate(parts):
        for number, (start, end) in enumerate(sentences(part["text"])):
            text = part["text"][start:end].strip()
            new = {fact for fact in facts if fact in plain(text)} - named
            ends = place in (0, len(parts) - 1) and number == 0
            needed = ends or bool(new) or any(one in plain(text) for one in said)
            named |= new
            kind = RANKS.index(part["kind"]) if part["kind"] in RANKS else RANKS.index("body")
            found.append(Piece(place, text, spoken_length(text, brief.language), (kind, -number), needed))
    return found


def parts_from(brief: Brief, parts: Sequence[Part], kept: Sequence[Piece]) -> list[Part]:
    """The parts that the kept sentences make, in their order."""
    made = []
    for place, part in enumerate(parts):
        if text := of([one.text for one in kept if one.part == place], brief.language):
            made.append(Part(kind=part["kind"], text=text, by=part["by"]))
    return made


def of(texts: Sequence[str], language: Language) -> str:
    """Sentences as one text."""
    return ("" if language == "zh" else " ").join(texts)
