"""Reading a request by a model with structured output, trusted only as far as the request and the lexicon bear it out.

Every slot comes with a quote. A quote that does not stand in the request, a label that the lexicon does not have and a
name that nobody said are dropped: a model may understand more than the rules, and may not make anything up. A slot or a
change of no kind that is asked for is dropped too, for one of them makes the rest no worse; only without a class that
there is, nothing was understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, Field, field_validator

from agents.script.data import load
from agents.script.intent.cues import Class
from agents.script.intent.lengths import length_seconds
from agents.script.intent.marks import LABELLED, normal
from agents.script.intent.reference import Pointed, Script, reference
from agents.script.intent.rules import Reading, read
from agents.script.intent.understanding import POINTS_BACK, category_in, in_language, settled, wished_label
from agents.script.words import Language, language_of
from node import Context, Final, Retry

MAX_TOKENS = 500
SCRIPTS_SHOWN, ASKED_CHARACTERS = 8, 80
SURE_AT_MOST, USUAL_CONFIDENCE = 0.95, 0.8
LISTS = ("must_say", "must_not_say")
MOST_SLOTS, MOST_CHANGES = 24, 8
MOST_VALUE_CHARACTERS, MOST_QUOTE_CHARACTERS = 200, 400
Slot: TypeAlias = Literal[
    "category",
    "product",
    "scene",
    "audience",
    "tone",
    "length_seconds",
    "platform",
    "occasion",
    "must_say",
    "must_not_say",
]
Change: TypeAlias = Literal[
    "shorter", "longer", "other tone", "other wording", "polish", "drop", "in Chinese", "in English"
]
CHANGES: dict[str, tuple[str, str]] = {
    "shorter": ("length", "shorter"),
    "longer": ("length", "longer"),
    "other tone": ("tone", "other"),
    "other wording": ("wording", "other"),
    "polish": ("wording", "polish"),
    "drop": ("wording", "drop"),
    "in Chinese": ("language", "zh"),
    "in English": ("language", "en"),
}


class Found(BaseModel):
    """One slot, its value, and the piece of the request that says so."""

    slot: Slot
    value: str = Field(max_length=MOST_VALUE_CHARACTERS)
    quote: str = Field(max_length=MOST_QUOTE_CHARACTERS)


class IntentSchema(BaseModel):
    """A model's reading of one request. script, item: counted from 1; confidence: how sure the model says it is."""

    intent: Class
    slots: list[Found] = Field(default_factory=list, max_length=MOST_SLOTS)
    script: int | None = Field(None, ge=1)
    item: int | None = Field(None, ge=1)
    changes: list[Change] = Field(default_factory=list, max_length=MOST_CHANGES)
    confidence: float = Field(USUAL_CONFIDENCE, ge=0, le=1)

    @field_validator("intent", mode="before")
    @classmethod
    def _in_lower_case(cls, given: Any) -> Any:
        return given.strip().lower() if isinstance(given, str) else given

    @field_validator("slots", mode="before")
    @classmethod
    def _slots_asked_for(cls, given: Any) -> list[dict[str, str]]:
        return [one for one in map(readable_slot, given) if one][:MOST_SLOTS] if isinstance(given, list) else []

    @field_validator("changes", mode="before")
    @classmethod
    def _changes_asked_for(cls, given: Any) -> list[Any]:
        known = [one for one in given if one in get_args(Change)] if isinstance(given, list) else []
        return list(dict.fromkeys(known))[:MOST_CHANGES]

    @field_validator("script", "item", mode="before")
    @classmethod
    def _counted(cls, given: Any) -> int | None:
        return given if isinstance(given, int) and not isinstance(given, bool) and given >= 1 else None

    @field_validator("confidence", mode="before")
    @classmethod
    def _within_bounds(cls, given: Any) -> float:
        is_number = isinstance(given, int | float) and not isinstance(given, bool) and given == given
        return float(min(1, max(0, given))) if is_number else USUAL_CONFIDENCE


def readable_slot(given: Any) -> dict[str, str] | None:
    """One slot as a model gave it, or None where it is no slot that is asked for, or says nothing.

    A number stands for its digits, as in {"slot": "length_seconds", "value": 30}.
    """
    if not isinstance(given, Mapping) or given.get("slot") not in get_args(Slot):
        return None
    value, quote = given.get("value"), given.get("quote")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}" if isinstance(value, float) else str(value)
    if not isinstance(value, str) or not isinstance(quote, str) or not value.strip() or not quote.strip():
        return None
    fits = len(value) <= MOST_VALUE_CHARACTERS and len(quote) <= MOST_QUOTE_CHARACTERS
    return {"slot": str(given["slot"]), "value": value, "quote": quote} if fits else None


def by_model(
    query: str, language: Language, wishes: Mapping[str, Any], scripts: Sequence[Script], ctx: Context
) -> dict[str, Any] | None:
    """The request understood by a model able in its language, or None: none is more than weak, or it failed.

    language: that of the script, which need not be the request's.
    """
    spoken = language_of(query)
    try:
        model = ctx.models.able(spoken)
        if model is None or model.weak:
            return None
        given = ctx.models.structured(
            IntentSchema,
            messages(query, spoken, scripts),
            model=model,
            language=spoken,
            capability="chat",
            max_tokens=MAX_TOKENS,
            temperature=0.0,
        )
    except (Retry, Final, ValueError):
        return None  # the rules read every request; a model only reads it better
    return checked(given, query, language, wishes, scripts)


def messages(query: str, language: Language, scripts: Sequence[Script]) -> list[dict[str, str]]:
    """What the model is asked: the labels, the session's last scripts, and the request as data of its own."""
    lexicon = load("lexicon")
    tables = {slot: list(lexicon[table][language]) for slot, table in LABELLED.items()}
    tables["category"] = list(lexicon["categories"])
    shown = list(enumerate(scripts, 1))[-SCRIPTS_SHOWN:]
    conversation = [f"script {no}: {one.asked[:ASKED_CHARACTERS]} ({one.items} parts)" for no, one in shown]
    system = load("intent_prompt")[language].format(
        labels="\n".join(f"{slot}: {', '.join(map(str, labels))}" for slot, labels in tables.items()),
        conversation="\n".join(conversation),
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": query}]


def checked(
    given: IntentSchema, query: str, language: Language, wishes: Mapping[str, Any], scripts: Sequence[Script]
) -> dict[str, Any]:
    """The model's reading without what it made up; wishes for words and length that only the rules saw are kept."""
    spoken = language_of(query)
    rules = read(query, spoken, earlier=bool(scripts))
    said = borne_out(given.slots, query, spoken)
    for name in ("length_seconds", *LISTS):
        if name in rules.said and name not in said and given.intent not in ("ask", "chat"):
            said[name] = rules.said[name]
    products = list(dict.fromkeys(said.pop("products", ()))) or list(rules.products)
    if given.intent == "batch" and products:
        said.pop("product", None)
        said["products"] = products
    if "category" not in said and (category := category_in(str(said.get("product") or ""), spoken, goods=True)):
        said["category"] = category
    if given.intent == "chat":
        said = {}
    reading = Reading(given.intent, said, min(SURE_AT_MOST, given.confidence), rules.products)
    pointed_to = back(given, query, spoken, scripts, said) if given.intent in POINTS_BACK else None
    return settled(reading, query, language, wishes, scripts, "model", pointed_to)


def borne_out(found: Sequence[Found], query: str, language: Language) -> dict[str, Any]:
    """The slots whose quote stands in the request and whose value is a label, a number or words of it.

    products: every product that is named, of which `product` is the first.
    """
    request = normal(query).casefold()
    said: dict[str, Any] = {}
    for one in found:
        quote = normal(one.quote).casefold().strip()
        value = value_of(one, quote, request, language) if quote and quote in request else None
        if value is None:
            continue
        if one.slot in LISTS:
            said.setdefault(one.slot, []).append(value)
        else:
            said.setdefault(one.slot, value)
        if one.slot == "product":
            said.setdefault("products", []).append(value)
    return said


def value_of(one: Found, quote: str, request: str, language: Language) -> Any:
    """A slot's value in the form that the chain knows, or None where it was made up."""
    if one.slot in LABELLED:
        labels = load("lexicon")[LABELLED[one.slot]][language]
        label = wished_label(labels, in_language({one.slot: one.value.strip()}, language)[one.slot], language)
        return label if label in labels else None
    if one.slot == "category":
        return category_in(one.value, None)
    if one.slot == "length_seconds":
        seconds = length_seconds(quote)
        wanted = length_seconds(one.value) or length_seconds(f"{one.value.strip()} seconds")
        return seconds if seconds == wanted else None
    value = one.value.strip()
    return value if value and normal(value).casefold() in request else None


def back(
    given: IntentSchema, query: str, language: Language, scripts: Sequence[Script], said: Mapping[str, Any]
) -> tuple[dict[str, Any], Pointed]:
    """What the request points back to: the rules' reading, corrected by a script and a part that there really are."""
    found, pointed = reference(query, language, scripts, said)
    if given.script is not None and given.script <= len(scripts):
        at = given.script - 1
        there = given.item is not None and given.item <= (scripts[at].items or given.item)
        pointed = Pointed(at, given.item if there else pointed.item, True)
        found |= {"run_id": scripts[at].run_id, "turn": scripts[at].turn, "item": pointed.item}
    change = dict(found["change"])
    for name in given.changes:
        key, value = CHANGES[name]
        if not (key == "tone" and said.get("tone")):
            change.setdefault(key, value)
    return {**found, "change": change}, pointed
