"""Node `script.recognize_intent`: what is asked for, by the lexicon's rules: its class, and the slots it fills."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.words import LANGUAGES, Language, first_named, has_any
from node import Context, node

SECONDS = re.compile(r"(\d{1,3})\s*(?:秒|s\b|secs?\b|seconds?\b)", re.IGNORECASE)
MINUTES = re.compile(r"(\d{1,2}|一|两|三|one|two|three)\s*(?:分钟|minutes?\b|mins?\b)", re.IGNORECASE)
NUMBER_WORDS = {"一": 1, "两": 2, "三": 3, "one": 1, "two": 2, "three": 3}
QUOTED = re.compile(r"[「『“《\"]([^」』”》\"]{2,40})[」』”》\"]")
SUBJECT = re.compile(
    r"(?:写|来|生成)(?:一段|一个|一篇|段|个)?([\u4e00-\u9fff]{2,10}?)的?(?:直播|带货|话术|文案|脚本|开场|促单)"
    r"|\bfor (?:an? |my |our |the )?([a-z][a-z \-]{2,30}?) (?:live\b|livestream|stream|show)",
    re.IGNORECASE,
)
SIMPLE_SLOTS = {
    "scene": "scenes",
    "tone": "tones",
    "occasion": "occasions",
    "audience": "audiences",
    "platform": "platforms",
}


@node("script.recognize_intent", reads=("load_context",), timeout_seconds=60)
def recognize_intent(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"intent", "language", "slots": {...}, "confidence": 0..1, "source": "rules"}; see `understand`."""
    context = state["load_context"]
    return understand(context["query"], context["language"], context["wishes"])


def understand(query: str, language: Language, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Read a request. What it says beats what the session wished before.

    Slots: category (code, or "general"), category_label, product, scene, tone, occasion, audience, platform,
    length_seconds; None where nothing was said.
    """
    lexicon = load("lexicon")
    slots: dict[str, Any] = {
        name: first_named(lexicon[table][language], query, language) for name, table in SIMPLE_SLOTS.items()
    }
    for name in ("scene", "tone"):
        slots[name] = slots[name] or known_label(lexicon[SIMPLE_SLOTS[name]][language], wishes.get(name))
    category = category_in(query, language) or category_in(str(wishes.get("category") or ""), None)
    slots["category"] = category or "general"
    slots["category_label"] = category_label(category, wishes.get("category") or subject_of(query), language)
    slots["product"] = quoted_product(query) or wishes.get("product")
    slots["length_seconds"] = length_seconds(query) or wishes.get("length_seconds")
    intent = first_named(lexicon["intents"][language], query, language)
    filled = sum(1 for name in ("category", "scene", "tone", "occasion") if slots[name] not in (None, "general"))
    confidence = min(0.95, (0.6 if intent else 0.4) + 0.1 * filled)
    return {
        "intent": intent or "generate",
        "language": language,
        "slots": slots,
        "confidence": round(confidence, 2),
        "source": "rules",
    }


def category_in(text: str, language: Language | None) -> str | None:
    """The code of the category that a text names, in one language or (None) in any."""
    for code, names in load("lexicon")["categories"].items():
        if any(has_any(names[spoken]["words"], text, spoken) for spoken in ([language] if language else LANGUAGES)):
            return str(code)
    return None


def category_label(code: str | None, wished: Any, language: Language) -> str:
    """The category as it is said aloud: the lexicon's word, or the session's own where the lexicon has none."""
    if code:
        return str(load("lexicon")["categories"][code][language]["label"])
    return str(wished) if wished else {"zh": "好物", "en": "shopping"}[language]


def subject_of(query: str) -> str | None:
    """What a request is about where the lexicon knows no such category: 车载香薰 in 写一段车载香薰的直播开场."""
    found = SUBJECT.search(query)
    return found.group(1) or found.group(2) if found else None


def known_label(entries: Mapping[str, Any], wished: Any) -> str | None:
    """The wish itself if it is one of the labels, else None."""
    return str(wished) if wished in entries else None


def quoted_product(query: str) -> str | None:
    """The product's name where the request puts one in quotation marks."""
    found = QUOTED.search(query)
    return found.group(1).strip() if found else None


def length_seconds(query: str) -> int | None:
    """How long the script is to be, in seconds, where the request says so."""
    if found := SECONDS.search(query):
        return int(found.group(1))
    if found := MINUTES.search(query):
        number = found.group(1).lower()
        return 60 * (NUMBER_WORDS.get(number) or int(number))
    return None
