"""A script as it is said on another platform: what its shop, its viewers and its buttons are called there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.quality.folding import plain
from agents.script.writing.parts import Part

NAMES = "names"


def adapted(brief: Brief, parts: Sequence[Part]) -> list[Part]:
    """The parts in the words of the brief's platform, with its call at the end where nothing there says it yet."""
    platform = habits_of(brief)
    if platform is None:
        return list(parts)
    others = habits(brief.language)
    now = [Part(kind=part["kind"], text=told(part["text"], platform, others), by=part["by"]) for part in parts]
    said = plain("\n".join(part["text"] for part in now))
    if plain(platform["cart"]) not in said:
        now[-1]["text"] += ("" if brief.language == "zh" else " ") + platform["call"]
    return now


def told(text: str, platform: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> str:
    """A text with the other platforms' words in this one's; the longest words are looked for first."""
    for slot in platform:
        if slot == "call":
            continue
        mine = platform[slot][0] if slot == NAMES else platform[slot]
        own = {word.lower() for word in (platform[slot] if slot == NAMES else [platform[slot]])}
        foreign = {word for one in others if slot in one for word in (one[slot] if slot == NAMES else [one[slot]])}
        words = sorted((word for word in foreign if word.lower() not in own), key=len, reverse=True)
        if words:
            keep = "|".join(re.escape(word) for word in sorted(own, key=len, reverse=True))
            other = "|".join(re.escape(word) for word in words)
            edge = (r"(?<![A-Za-z])", r"(?![A-Za-z])") if mine.isascii() else ("", "")
            pattern = re.compile(f"{edge[0]}(?:(?P<own>{keep})|{other}){edge[1]}", re.IGNORECASE)
            text = pattern.sub(lambda found, mine=mine: found["own"] or mine, text)  # type: ignore[misc]
    return text


def habits_of(brief: Brief) -> Mapping[str, Any] | None:
    """How the brief's platform talks, or None where nobody wrote that down."""
    wanted = str(brief.facts.get("platform") or "").lower()
    return next(
        (
            one
            for one in habits(brief.language)
            if wanted and any(n.lower() in wanted or wanted in n.lower() for n in one[NAMES])
        ),
        None,
    )


def habits(language: str) -> list[Mapping[str, Any]]:
    """All platforms of a language."""
    return list(load("platforms")[language])
