"""The brief: everything a writer may use for one script, gathered from the steps before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.script.data import load
from agents.script.words import Language

SOURCES = ("load_context", "recognize_intent", "fetch_profile", "fetch_product")
CHARACTERS_A_SECOND = {"zh": 4.0, "en": 2.5}  # spoken: Chinese characters, English words


@dataclass(frozen=True)
class Brief:
    """What is asked for, who speaks and what may be said.

    facts: names and values that sentences may use, None where nobody gave one; target_length: in spoken units (see
    `words.spoken_length`) or None; turns: the session's last ones, oldest first.
    """

    query: str
    language: Language
    intent: str
    scene: str
    tone: str
    category: str
    facts: Mapping[str, Any]
    points: tuple[str, ...]
    banned: tuple[str, ...]
    style: str | None
    target_length: int | None
    turns: tuple[Mapping[str, str], ...]


def brief_from(state: Mapping[str, Any]) -> Brief:
    """The brief of a run whose steps up to the product are done."""
    context, intent = state["load_context"], state["recognize_intent"]
    profile, product = state["fetch_profile"], state["fetch_product"]
    language, slots = intent["language"], intent["slots"]
    templates = load(f"templates/{language}")
    seconds = slots.get("length_seconds")
    return Brief(
        query=context["query"],
        language=language,
        intent=intent["intent"],
        scene=slots.get("scene") or scene_for(product, language, templates),
        tone=slots.get("tone") or profile["tone"] or templates["default_tone"],
        category=product["category"],
        facts=facts_of(slots, profile, product),
        points=tuple(product["selling_points"]),
        banned=tuple(profile["banned"]),
        style=profile["style"],
        target_length=round(float(seconds) * CHARACTERS_A_SECOND[language]) if seconds else None,
        turns=tuple(context["turns"]),
    )


def scene_for(product: Mapping[str, Any], language: Language, templates: Mapping[str, Any]) -> str:
    """The scene where the request names none: a product that we know is presented, else the stream is opened."""
    return {"zh": "单品", "en": "product"}[language] if product["known"] else str(templates["default_scene"])


def facts_of(slots: Mapping[str, Any], profile: Mapping[str, Any], product: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a sentence template may use."""
    return {
        "creator": profile["name"],
        "catch_phrase": next(iter(profile["catch_phrases"]), None),
        "category": product["category_label"],
        "product": product["name"],
        **{name: product[name] for name in ("price", "currency", "offer", "specification")},
        **{name: slots.get(name) for name in ("occasion", "platform", "audience")},
    }
