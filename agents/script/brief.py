"""The brief: everything a writer may use for one script, gathered from the steps before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from agents.script.data import load
from agents.script.quality.packs import Notice, Pack, Told
from agents.script.quality.shelf import notices_for
from agents.script.words import Language
from agents.script.writing.parts import spoken_a_minute

SOURCES = ("load_context", "recognize_intent", "clarify", "fetch_profile", "fetch_product")
INGREDIENTS_SAID = 3  # nobody listens to more of them
AS_THEY_ARE = ("currency", "offer", "stock_note", "specification", "brand", "origin")
WRITES_ANEW = ("generate", "continue", "batch")
OF_REQUEST = ("occasion", "platform", "audience")


@dataclass(frozen=True)
class Brief:
    """What is asked for, who speaks and what may be said.

    facts: names and values that sentences may use, None where nobody gave one; target_length: in spoken units (see
    `words.spoken_length`) or None; turns: the session's last ones, oldest first; own_tone: the creator's; row: what
    `fetch_product` found, which says in `fields` where each fact is from; summary: the session's turns before `turns`;
    withheld: facts of the row that are not to be told, by the ban that says so ("价格"): row and facts lack them;
    statements: what the law wants said of such a product, the last of `must_say`.
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
    catch_phrases: tuple[str, ...] = ()
    own_tone: str | None = None
    persona: str | None = None
    brand_bans: tuple[str, ...] = ()
    policy_tags: tuple[str, ...] = ()
    must_say: tuple[str, ...] = ()
    must_not_say: tuple[str, ...] = ()
    row: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""
    withheld: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    statements: tuple[str, ...] = ()


def brief_from(state: Mapping[str, Any]) -> Brief:
    """The brief of a run whose steps up to the product are done."""
    context, intent = state["load_context"], state.get("clarify") or state["recognize_intent"]
    profile, row = state["fetch_profile"], state["fetch_product"]
    language, slots = intent["language"], intent["slots"]
    bans = must_not_say(intent, context)
    withheld = withheld_by(bans, row)
    untold = {name for facts in withheld.values() for name in facts}
    product: Mapping[str, Any] = {**row, **dict.fromkeys(untold)}
    templates = load(f"templates/{language}")
    seconds = slots.get("length_seconds")
    notices = notices_for(language, row["category"], slots.get("platform"), words_of(row.get("compliance_tags")))
    statements = tuple(said for _, notice, _ in notices if (said := notice.say(language)))
    return Brief(
        query=context["query"],
        language=language,
        intent=intent["intent"],
        scene=slots.get("scene") or scene_for(product, language, templates),
        tone=slots.get("tone") or profile["tone"] or templates["default_tone"],
        category=product["category"],
        facts=facts_of(slots, profile, product, language),
        points=words_of(product.get("selling_points")),
        banned=words_of(profile.get("banned")),
        style=profile["style"],
        target_length=round(float(seconds) * spoken_a_minute(language) / 60) if seconds else None,
        turns=tuple(context["turns"]),
        catch_phrases=words_of(profile.get("catch_phrases")),
        own_tone=profile.get("tone"),
        persona=profile.get("persona"),
        brand_bans=(*words_of(profile.get("brand_bans")), *words_of(product.get("brand_bans"))),
        policy_tags=words_of(profile.get("policy_tags")),
        must_say=tuple(dict.fromkeys((*words_of(slots.get("must_say")), *statements))),
        must_not_say=bans,
        row=product,
        summary=str(context.get("summary") or ""),
        withheld=withheld,
        statements=statements,
    )


def notices_of(brief: Brief) -> Iterator[tuple[Pack, Notice, Told]]:
    """What the rule packs want said in every script of this product, or told of it."""
    tags = words_of(brief.row.get("compliance_tags"))
    return notices_for(brief.language, brief.category, brief.facts.get("platform"), tags)


def withheld_by(bans: Sequence[str], row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The facts of a row that bans name, by the ban: 「别提价格」 means 129元 too, and not the word 价格 alone."""
    found: dict[str, dict[str, Any]] = {}
    for ban in bans:
        fields = [name for one in load("fact_names") if ban.casefold() in one["words"] for name in one["fields"]]
        if told := {name: row[name] for name in fields if row.get(name)}:
            found[ban] = told
    return found


def must_not_say(intent: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[str, ...]:
    """The request's own bans, and for a new script those of the session's turns.

    A change touches nothing that nobody asked for, and a word that is wanted now is forbidden no more.
    """
    own, wanted = words_of(intent["slots"].get("must_not_say")), words_of(intent["slots"].get("must_say"))
    older = words_of(context.get("bans")) if intent["intent"] in WRITES_ANEW else ()
    kept = (ban for ban in older if not any(ban.casefold() in text.casefold() for text in wanted))
    return tuple(dict.fromkeys((*own, *kept)))


def scene_for(product: Mapping[str, Any], language: Language, templates: Mapping[str, Any]) -> str:
    """The scene where the request names none: a product that we know is presented, else the stream is opened."""
    return {"zh": "单品", "en": "product"}[language] if product["known"] else str(templates["default_scene"])


def facts_of(
    slots: Mapping[str, Any], profile: Mapping[str, Any], product: Mapping[str, Any], language: Language
) -> dict[str, Any]:
    """The names that a sentence may use. audience: whom the request speaks to; suits: whom the product is made for."""
    between = {"zh": "、", "en": ", "}[language]
    return {
        "creator": profile["name"],
        "catch_phrase": next(iter(profile["catch_phrases"]), None),
        "category": product["category_label"],
        "product": product["name"],
        **{name: product.get(name) or None for name in AS_THEY_ARE},
        **{name: spoken_number(product.get(name)) for name in ("price", "original_price")},
        "ingredients": between.join(words_of(product.get("ingredients"))[:INGREDIENTS_SAID]) or None,
        "certifications": between.join(words_of(product.get("certifications"))) or None,
        "suits": product.get("audience") or None,
        **{name: slots.get(name) for name in OF_REQUEST},
    }


def words_of(value: Any) -> tuple[str, ...]:
    """The texts of a slot or fact that holds one, several or none."""
    given: Sequence[Any] = [value] if isinstance(value, str) else value or ()
    return tuple(str(one).strip() for one in given if str(one).strip())


def spoken_number(value: Any) -> Any:
    """A price as it is said: 129 for 129.00. What is no number stays as it is."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return value
    if not number.is_finite():
        return value
    return str(int(number)) if number == number.to_integral_value() else format(number.normalize(), "f")
