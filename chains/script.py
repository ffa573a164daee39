"""The script chain, first version: from a creator's wish to a livestream sales script, checked and remembered.

What it reads of its nodes (agents/script/):

    recognize_intent  -> {"intent": str, "language": "zh"|"en", ...}
    fetch_profile     -> {"name": str|None, "known": bool, ...};  fetch_product the same
    write, rewrite    -> {"script": str, "parts": [...], "writer": "model"|"rules", ...}
    check_quality     -> {"passed": bool, "findings": [...], "score": float}

A node that falls short says so by `ctx.degrade(reason)`: `write` and `rewrite` when the rules had to write instead of a
model, `remember_turn` when the last check still did not pass. The run then completes as degraded.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chains.definition import Chain, FactsView, Json, Results, parallel, repeat, sequence, step

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class ScriptInput(BaseModel):
    """Input of the chain `script`: the wish in the user's words, and what may be known besides."""

    model_config = ConfigDict(extra="forbid")

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)] = Field(
        description="what to write, in Chinese or English"
    )
    language: Literal["zh", "en"] | None = Field(None, description="language of the script (default: the query's)")
    influencer_name: Words | None = Field(None, description="who speaks")
    category: Words | None = Field(None, description="kind of goods, such as 美妆 or beauty")
    product: Words | dict[str, Any] | None = Field(None, description="what is sold: its name, or its facts")
    scene: Words | None = Field(None, description="part of the show, such as 开场 or opening")
    tone: Words | None = Field(None, description="such as 活泼 or lively")
    length_seconds: int | None = Field(None, ge=5, le=600, description="how long the script is when spoken")


def passed(facts: FactsView) -> bool:
    """Whether the newest script passed its check."""
    return bool(facts["check_quality"]["passed"])


def output(results: Results) -> Json:
    """The script that stands at the end, with what it rests on."""
    written = results.output("rewrite") or results.output("write")
    intent = results.output("recognize_intent")
    return {
        "script": written["script"],
        "parts": written.get("parts", []),
        "writer": written.get("writer"),
        "language": intent.get("language"),
        "intent": intent.get("intent"),
        "quality": results.output("check_quality"),
        "rewrites": sum(one.node == "script.rewrite" for one in results.steps),
        "sources": {"creator": _source(results, "fetch_profile"), "product": _source(results, "fetch_product")},
    }


def _source(results: Results, name: str) -> Json:
    found = results.output(name)
    return {"name": found.get("name"), "known": bool(found.get("known"))}


SCRIPT = Chain(
    "script",
    version="1",
    title="Livestream script",
    input_schema=ScriptInput,
    output=output,
    body=sequence(
        step("script.load_context", quick=True),
        step("script.recognize_intent", quick=True),
        parallel(
            step("script.fetch_profile", quick=True),
            step("script.fetch_product", quick=True),
        ),
        step("script.write"),
        step("script.check_quality", facts=("passed",), quick=True),
        repeat(
            "improve",
            step("script.rewrite"),
            step("script.check_quality", facts=("passed",), quick=True),
            until=passed,
            at_most=2,
        ),
        step("script.remember_turn", quick=True),
    ),
)
