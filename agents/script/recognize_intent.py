"""Node `script.recognize_intent`: what is asked for: its class, the slots that it fills, what it points back to.

By a model where one is able in the request's language and more than weak, by the rules otherwise, and whenever the
model fails. The sets in evals/intent/ measure the rules, and any model (`python -m evals intent --model NAME`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.intent.by_model import by_model
from agents.script.intent.lengths import length_seconds
from agents.script.intent.reference import Script
from agents.script.intent.rules import read
from agents.script.intent.understanding import by_rules
from agents.script.words import Language, language_of
from node import Context, node

__all__ = ["length_seconds", "recognize_intent", "scripts_in", "subject_of", "understand"]


@node("script.recognize_intent", reads=("load_context",), timeout_seconds=60)
def recognize_intent(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"intent", "class" (the same), "language", "slots", "said", "reference", "reference_certain", "confidence",
    "source": "model"|"rules"}.

    slots: category (code, or "general"), category_label, product, scene, tone, occasion, audience, platform,
    length_seconds: None where nobody said any; must_say, must_not_say, products: lists. said: those of them that this
    request says itself. reference: {"run_id", "turn", "item", "change": {...}} for modify and continue, else None.
    """
    context = state["load_context"]
    query, language, wishes = context["query"], context["language"], context["wishes"]
    scripts = scripts_in(context)
    found = by_model(query, language, wishes, scripts, ctx) or by_rules(query, language, wishes, scripts)
    told = ("intent", "slots", "confidence", "source")
    ctx.emit("intent_recognized", **{name: found[name] for name in told})
    return found


def understand(
    query: str, language: Language, wishes: Mapping[str, Any], scripts: Sequence[Script] = ()
) -> dict[str, Any]:
    """What `recognize_intent` returns, by the rules. What the request says beats what the session wished before."""
    return by_rules(query, language, wishes, scripts)


def scripts_in(context: Mapping[str, Any]) -> list[Script]:
    """The session's scripts as `load_context` handed them over, oldest first."""
    return [Script(**script) for script in context.get("scripts") or ()]


def subject_of(query: str) -> str | None:
    """The product that a request names, or None."""
    product = read(query, language_of(query)).said.get("product")
    return str(product) if product else None
