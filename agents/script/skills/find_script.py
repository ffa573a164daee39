"""Node `script.find_script`: which script a request is about, and what is asked for once that script is known.

What the request does not say stays as it was in that script: its language, tone, scene, product, creator and length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.fetch_product import built_in
from agents.script.intent.rules import read
from agents.script.intent.understanding import SINGLE, category_label, in_language
from agents.script.skills.base import Base, find_base
from agents.script.tenant_rows import best_named, candidates
from agents.script.words import Language
from agents.script.writing.parts import seconds_of
from node import Context, Final, node
from storage.catalog import PRODUCTS

SHORTER, LONGER = 0.6, 1.5  # of the length that a script had
OF_TEXT = ("occasion", "audience", "platform")
LEAST_SECONDS, MOST_SECONDS = 5, 600


@node("script.find_script", reads=("input", "load_context", "recognize_intent", "clarify"), timeout_seconds=30)
def find_script(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What the request was understood as, with its slots filled from that script, and {"base": {"text", "parts",
    "run_id", "item", "seconds"}}.

    A continuation of nothing is a new script. Final (`no_script`): there is nothing to change.
    """
    asked = state.get("clarify") or state["recognize_intent"]
    request, reference = state["input"], asked.get("reference") or {}
    told = {"goes_on": True, "message": None, **{name: asked.get(name) for name in ("asked", "answer")}}
    base = find_base(request, reference, state["load_context"], ctx)
    if base is None or not base.parts:
        if asked["intent"] == "modify":
            raise Final("there is no script to change: send it, or name the run that wrote it", code="no_script")
        return {**asked, **told, "intent": "generate", "base": None}
    language = request.get("language") or reference.get("change", {}).get("language") or base.language
    ctx.emit("script_found", run_id=base.run_id, item=base.item, parts=len(base.parts))
    return {
        **asked,
        **told,
        "language": language,
        "slots": slots_for(asked, request, base, language, ctx),
        "base": {
            "text": base.text,
            "parts": list(base.parts),
            "run_id": base.run_id,
            "item": base.item,
            "seconds": seconds_of(base.text, base.language),
        },
    }


def slots_for(
    asked: Mapping[str, Any], request: Mapping[str, Any], base: Base, language: Any, ctx: Context
) -> dict[str, Any]:
    """The slots: what this request says, else what the script had, else the session's wishes."""
    before, change = known_of(base, ctx), (asked.get("reference") or {}).get("change") or {}
    said = {*asked["said"], *(name for name in request if request[name])}
    slots = {**asked["slots"], **in_language({name: asked["said"][name] for name in asked["said"]}, language)}
    for name in (*SINGLE, "category", "category_label", "creator"):
        if name not in said and before.get(name) and not (name.startswith("category") and "product" in said):
            slots[name] = before[name]
    if slots["category"] != asked["slots"]["category"] and not before.get("category_label"):
        slots["category_label"] = category_label(slots["category"], None, language)
    if not said & {"tone"}:
        slots["tone"] = base.output.get("tone") or slots.get("tone")
    if change.get("tone") == "other":
        slots["tone"] = another_tone(slots.get("tone"), language)
    if not said & {"scene"}:
        slots["scene"] = base.output.get("scene") or slots.get("scene")
    unwanted = list(asked["slots"].get("must_not_say") or [])
    kept = [word for word in before.get("must_say") or [] if not any(ban in word for ban in unwanted)]
    slots["must_say"] = list(dict.fromkeys([*kept, *(asked["slots"].get("must_say") or [])]))
    slots["must_not_say"] = list(dict.fromkeys([*(before.get("must_not_say") or []), *unwanted]))
    if asked["intent"] == "modify":
        slots["length_seconds"] = length_for(base, change, asked["said"].get("length_seconds"))
    return slots


def known_of(base: Base, ctx: Context) -> dict[str, Any]:
    """What a script was asked for, or, where nobody knows that, what its text is about.

    Then what it states counts as given along with the request, unless the tenant has the product: its row knows better.
    """
    if base.output:
        return base.slots
    text, language = base.text, base.language
    said = read(text, language).said
    found = {name: said[name] for name in OF_TEXT if said.get(name)}
    row = best_named(candidates(ctx, PRODUCTS, text, ""), text, "", language) or built_in(ctx, "", text, language)
    product = row["name"] if row else {"name": None, "extra": {"script": text}}
    category = row["category"] if row else most_named(text, language)
    return {**found, "product": product, **({"category": category} if category else {})}


def most_named(text: str, language: Language) -> str | None:
    """The category whose words stand in a text most often."""
    lexicon, heard = load("lexicon")["categories"], text.lower()
    words = {code: {*one[language]["words"], *one[language]["goods"]} for code, one in lexicon.items()}
    counts = {code: sum(heard.count(str(word).lower()) for word in named) for code, named in words.items()}
    best = max(counts, key=lambda code: counts[code])
    return str(best) if counts[best] else None


def length_for(base: Base, change: Mapping[str, Any], wanted: int | None) -> int:
    """How long the changed script is to be, in seconds: as asked, or else as long as it was."""
    seconds = seconds_of(base.text, base.language)
    if wanted:
        target = float(min(wanted, seconds) if change.get("never_longer") else wanted)
    else:
        factor = {"shorter": SHORTER, "longer": LONGER}.get(str(change.get("length")), 1.0)
        meant = base.text if not base.item else "".join(part["text"] for part in base.parts[base.item - 1 : base.item])
        target = seconds + (factor - 1) * seconds_of(meant, base.language)
    return round(min(MOST_SECONDS, max(LEAST_SECONDS, target)))


def another_tone(tone: str | None, language: Any) -> str:
    """A tone that the script does not have: the usual one, or the next to it."""
    usual = str(load(f"templates/{language}")["default_tone"])
    tones = list(load("lexicon")["tones"][language])
    return next((one for one in tones if one != (tone or usual)), usual)
