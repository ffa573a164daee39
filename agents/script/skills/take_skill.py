"""Node `script.take_skill`: the request of a skill that was called by name: what it is needs no guessing.

It hands over what `script.recognize_intent` does, so that every later step works the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.intent.cues import Class
from agents.script.intent.reference import Script
from agents.script.intent.rules import Reading, read
from agents.script.intent.understanding import settled
from agents.script.recognize_intent import scripts_in
from agents.script.skills.base import find_base
from agents.script.words import language_of
from node import Context, node

CLASSES: dict[str, Class] = {
    "script.modify": "modify",
    "script.continue": "continue",
    "script.shorten": "modify",
    "script.adapt": "modify",
    "script.batch": "batch",
}
SURE = 0.95


@node("script.take_skill", reads=("input", "load_context"), timeout_seconds=30)
def take_skill(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What `script.recognize_intent` returns, of the class that the chain stands for, and `goes_on` true."""
    request, context = state["input"], state["load_context"]
    query, language = context["query"], context["language"]
    intent = CLASSES.get(ctx.chain, "generate")
    scripts = scripts_of(request, context, ctx) if intent in ("modify", "continue") else []
    said = dict(read(query, language_of(query), earlier=bool(scripts)).said)
    if ctx.chain == "script.shorten":
        said["length_seconds"] = int(request["seconds"])
    if intent != "batch":
        said.pop("products", None)
    understood = settled(Reading(intent, said, SURE), query, language, context["wishes"], scripts, "rules")
    change = (understood["reference"] or {}).get("change")
    if change is not None and ctx.chain == "script.shorten":
        change |= {"length": "shorter", "never_longer": True}
    if change is not None and ctx.chain == "script.adapt":
        understood["slots"]["platform"] = change["platform"] = request["platform"]
        understood["said"]["platform"] = request["platform"]
    return {**understood, "goes_on": True}


def scripts_of(request: Mapping[str, Any], context: Mapping[str, Any], ctx: Context) -> list[Script]:
    """The scripts that the request may point to: the one that it brings or names, else those of the session."""
    if not request.get("script") and not request.get("run_id"):
        return scripts_in(context)
    base = find_base(request, {}, context, ctx)
    assert base is not None  # a script came along, or the run's was found
    return [Script(None, base.run_id, "", base.text, len(base.parts))]
