"""Node `script.modify`: an earlier script with the change that was asked for, and otherwise as it was.

Leaving words out, adding some and dropping a part are done by rules, exactly. Anything else an able model does, and
where only one part is meant, the other parts are put back; without such a model the rules do what they can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.brief import SOURCES, Brief, brief_from
from agents.script.data import load
from agents.script.model_writer import whole_script
from agents.script.rule_writer import with_must_say
from agents.script.skills.changing import BY_RULES, changed, exact
from agents.script.skills.cutting import MISS, shortened
from agents.script.words import spoken_length
from agents.script.writer import written
from agents.script.writing import prompts
from agents.script.writing.parts import Part, joined
from node import Context, Final, Retry, node


@node("script.modify", reads=SOURCES, timeout_seconds=120)
def modify(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What `script.write` returns, of the earlier script with its change."""
    brief, understood = brief_from(state), state["clarify"]
    base, change = understood["base"], (understood.get("reference") or {}).get("change") or {}
    parts, item = [Part(kind=one["kind"], text=one["text"], by=one["by"]) for one in base["parts"]], base["item"]
    seed = f"{ctx.run_id}/{ctx.step}"
    if not exact(change):
        model = ctx.models.able(brief.language)
        if model is not None and not model.weak and change:
            try:
                made = by_model(brief, model, ctx, parts, item, change)
                return written(brief, made, writer="model", model=model.name)
            except (Retry, Final) as failure:
                if not ctx.models.may_fall_back:
                    raise
                ctx.models.by_rules(f"model {model.name} failed ({failure}): changed by rules")
        else:
            ctx.models.by_rules(f"no model able in {brief.language}: changed by rules")
    made = changed(brief, parts, change, item, seed)
    if beyond := sorted(set(change) - BY_RULES):
        ctx.degrade(f"left as it was, no rule knows how to do this: {', '.join(str(change[one]) for one in beyond)}")
    elif made == parts and not change.get("never_longer"):
        ctx.degrade("the script is as it was: no rule knows how to make this change")
    for part in made:
        ctx.token(part["text"] + "\n")
    return written(brief, made, writer="rules", model=None)


def by_model(
    brief: Brief, model: Any, ctx: Context, parts: Sequence[Part], item: int | None, change: Mapping[str, Any]
) -> list[Part]:
    """The whole script in one streamed answer; other parts than the one that is meant are put back as they were."""
    labels = load(f"templates/{brief.language}")["labels"]
    known = {**prompts.words(brief), "script": marked(parts, labels), "item": item, "change": told(change)}
    known["labels"] = [labels.get(part["kind"], part["kind"]) for part in parts]
    made = whole_script(brief, model, ctx, prompts.rendered(f"{brief.language}/change.j2", known))
    if item and item <= len(parts) and len(made) == len(parts):
        made = [new if place == item else old for place, (new, old) in enumerate(zip(made, parts, strict=True), 1)]
    if len(made) == len(parts):
        made = [Part(kind=old["kind"], text=new["text"], by=new["by"]) for new, old in zip(made, parts, strict=True)]
    target = brief.target_length
    if "length_seconds" in change and target and spoken_length(joined(made), brief.language) > target * (1 + MISS):
        made = shortened(brief, made, target)
    return with_must_say(made, brief, f"{ctx.run_id}/{ctx.step}")


def marked(parts: Sequence[Part], labels: Mapping[str, str]) -> str:
    """The script with a mark before each part, as a model writes it."""
    return "\n".join(f"【{labels.get(part['kind'], part['kind'])}】{part['text']}" for part in parts)


def told(change: Mapping[str, Any]) -> str:
    """A change in short, for a prompt: the request itself stands beside it."""
    return "; ".join(f"{name}: {value}" for name, value in change.items() if value is not True)
