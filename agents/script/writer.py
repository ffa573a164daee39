"""Node `script.write`: the script itself, by a model able in its language, else by the rule-level writer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.brief import SOURCES, Brief, brief_from
from agents.script.model_writer import write_by_model
from agents.script.rule_writer import Part, joined, write_by_rules
from agents.script.writing.parts import seconds_of, timed
from node import Context, Final, Retry, node


@node("script.write", reads=SOURCES, timeout_seconds=120)
def write(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"script", "parts": [{"kind", "text", "by", "seconds"}], "seconds", "writer": "model"|"rules", "model",
    "language", "tone", "scene"}.

    Where no model is able, or the model fails, the rules write and the run says so (`degrade`); with
    LLM_FALLBACK_ENABLED=false it fails instead: Final `no_able_model`, or the model's own failure.
    """
    brief = brief_from(state)
    model = ctx.models.able(brief.language)
    if model is None:
        return by_rules(brief, ctx, f"no model able in {brief.language}: rule-level writer")
    try:
        parts = write_by_model(brief, model, ctx)
    except (Retry, Final) as failure:
        if not ctx.models.may_fall_back:
            raise
        return by_rules(brief, ctx, f"model {model.name} failed ({failure}): rule-level writer")
    return written(brief, parts, writer="model", model=model.name)


def by_rules(brief: Brief, ctx: Context, reason: str) -> dict[str, Any]:
    """A script by the rules, shown part by part to live viewers. Final where only a model may answer."""
    ctx.models.by_rules(reason)
    parts = write_by_rules(brief, seed=f"{ctx.run_id}/{ctx.step}")
    for part in parts:
        ctx.token(part["text"] + "\n")
    return written(brief, parts, writer="rules", model=None)


def written(brief: Brief, parts: list[Part], *, writer: str, model: str | None) -> dict[str, Any]:
    """The output of a writing step."""
    script = joined(parts)
    return {
        "script": script,
        "parts": timed(parts, brief.language),
        "seconds": seconds_of(script, brief.language),
        "writer": writer,
        "model": model,
        "language": brief.language,
        "tone": brief.tone,
        "scene": brief.scene,
    }
