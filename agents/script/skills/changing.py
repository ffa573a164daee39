"""Changes of a script by rules: only what was asked for is touched, everything else stays as it was. Pure.

drop a part, leave words out, say something more, other words or another tone, longer, shorter, another platform
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.script.brief import Brief
from agents.script.quality.folding import plain
from agents.script.quality.sentences import sentences
from agents.script.rule_writer import with_must_say, write_by_rules
from agents.script.skills.base import UNNAMED
from agents.script.skills.cutting import of, shortened, without_the_least
from agents.script.skills.platforms import adapted
from agents.script.words import spoken_length
from agents.script.writing.parts import Part, joined

REWORDS = {"tone", "wording", "product", "scene", "occasion", "audience", "language"}  # what needs other sentences
BY_RULES = REWORDS | {"length", "length_seconds", "must_say", "must_not_say", "platform", "never_longer"}
EXACT = {"must_say", "must_not_say"}  # changes that rules do best: a model might touch more than it was asked
NEAR = 0.08  # of a length that is asked for
LEAST_OF_A_PART = 0.5  # of what is asked for: a part has few sentences, and at least one of them stays


def exact(change: Mapping[str, Any]) -> bool:
    """Whether rules do a change without a loss."""
    return bool(change) and (set(change) <= EXACT or change.get("wording") == "drop")


def changed(brief: Brief, parts: Sequence[Part], change: Mapping[str, Any], item: int | None, seed: str) -> list[Part]:
    """The parts as the change wants them. item: the one part that is meant, from 1, or None for all of them."""
    if item and not 1 <= item <= len(parts):
        return list(parts)  # there is no such part, and nobody asked to change another
    at = item - 1 if item else None
    now = [Part(kind=part["kind"], text=part["text"], by=part["by"]) for part in parts]
    if change.get("wording") == "drop":
        return [part for place, part in enumerate(now) if place != at] or now
    if change.get("must_not_say"):
        now = without(now, brief, [plain(str(word)) for word in change["must_not_say"]])
    if "language" in change:
        now = write_by_rules(brief, seed)
    elif REWORDS & set(change):
        now = reworded(brief, now, at, seed)
    if change.get("platform"):
        now = adapted(brief, now)
    if brief.target_length and ("length" in change or "length_seconds" in change):
        now = fitted(brief, now, at, seed)
    return with_must_say(now, brief, seed)


def without(parts: Sequence[Part], brief: Brief, words: Sequence[str]) -> list[Part]:
    """The parts without the sentences that hold one of these words; a part that is nothing else goes."""
    kept = []
    for part in parts:
        sayable = [one for one in pieces(part["text"]) if not any(word in plain(one) for word in words)]
        text = of(sayable, brief.language)
        if text:
            kept.append(Part(kind=part["kind"], text=text, by=part["by"]))
    return kept or list(parts)


def reworded(brief: Brief, parts: list[Part], at: int | None, seed: str) -> list[Part]:
    """The parts in new sentences, one part or all of them; their order and their kinds stay.

    A part whose kind nobody knows (a pasted script) cannot be worded by rules; if none can, a new script is written.
    """
    fresh = write_by_rules(brief, seed)
    if all(part["kind"] == UNNAMED for part in parts) and at is None:
        return fresh
    by_kind: dict[str, list[Part]] = {}
    for part in fresh:
        by_kind.setdefault(part["kind"], []).append(part)
    made = []
    for place, part in enumerate(parts):
        new = by_kind.get(part["kind"]) or []
        wanted = at is None or at == place
        made.append(new.pop(0) if new and wanted else part)
    return made


def fitted(brief: Brief, parts: list[Part], at: int | None, seed: str) -> list[Part]:
    """The parts brought to the length of the brief; where only one part is meant, by that part alone."""
    target = brief.target_length or 0
    length = spoken_length(joined(parts), brief.language)
    if at is not None and target < length:
        wanted = max(1, spoken_length(parts[at]["text"], brief.language) - (length - target))
        return [*parts[:at], *without_the_least(brief, parts[at : at + 1], wanted, LEAST_OF_A_PART), *parts[at + 1 :]]
    if length > target * (1 + NEAR):
        return shortened(brief, parts, target)
    if length < target * (1 - NEAR):
        return lengthened(brief, parts, target, at, seed)
    return parts


def lengthened(brief: Brief, parts: list[Part], target: int, at: int | None, seed: str) -> list[Part]:
    """The parts with sentences added that were not said yet, each to a part of its kind, before the last one."""
    heard = {plain(one) for part in parts for one in pieces(part["text"])}
    length = spoken_length(joined(parts), brief.language)
    longer = write_by_rules(replace(brief, target_length=2 * target), f"{seed}/longer")
    homes = {part["kind"]: place for place, part in reversed(list(enumerate(parts)))} if at is None else {}
    between = "" if brief.language == "zh" else " "
    for source in longer:
        home = at if at is not None else homes.get(source["kind"], max(0, len(parts) - 2))
        for sentence in pieces(source["text"]):
            more = spoken_length(sentence, brief.language)
            if length >= target * (1 - NEAR):
                return parts
            if plain(sentence) in heard or length + more > target * (1 + NEAR):
                continue
            heard.add(plain(sentence))
            length += more
            parts[home]["text"] += between + sentence
    return parts


def pieces(text: str) -> list[str]:
    """The sentences of a part."""
    return [text[start:end].strip() for start, end in sentences(text)]
