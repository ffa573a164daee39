"""Node `script.continue`: another script in the manner of one that is there, without saying the same again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.brief import SOURCES, Brief, brief_from
from agents.script.model_writer import whole_script
from agents.script.quality.folding import plain
from agents.script.quality.sentences import sentences
from agents.script.rule_writer import with_must_say, write_by_rules
from agents.script.writer import written
from agents.script.writing import prompts
from agents.script.writing.parts import Part, joined
from node import Context, Final, Retry, node

TRIES = 6  # scripts by rules, of which the one that repeats least is taken


@node("script.continue", reads=SOURCES, timeout_seconds=120)
def go_on(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What `script.write` returns; where nothing went before, a script of its own."""
    brief = brief_from(state)
    before = str(((state.get("clarify") or {}).get("base") or {}).get("text") or "")
    model = ctx.models.able(brief.language)
    if model is not None and not model.weak:
        request = prompts.request_prompt(brief)
        values = {"script": before, "request": request}
        asked = prompts.rendered(f"{brief.language}/continue.j2", values) if before else request
        try:
            made = with_must_say(whole_script(brief, model, ctx, asked), brief, f"{ctx.run_id}/{ctx.step}")
            return written(brief, made, writer="model", model=model.name)
        except (Retry, Final) as failure:
            if not ctx.models.may_fall_back:
                raise
            ctx.models.by_rules(f"model {model.name} failed ({failure}): rule-level writer")
    else:
        ctx.models.by_rules(f"no model able in {brief.language}: rule-level writer")
    parts = unlike(brief, before, f"{ctx.run_id}/{ctx.step}")
    for part in parts:
        ctx.token(part["text"] + "\n")
    return written(brief, parts, writer="rules", model=None)


def unlike(brief: Brief, before: str, seed: str) -> list[Part]:
    """A script by rules that shares the fewest sentences with the one before."""
    heard = said_in(before)
    best, fewest = write_by_rules(brief, seed), len(heard) + 1
    for number in range(TRIES):
        parts = write_by_rules(brief, f"{seed}/{number}") if number else best
        again = len(said_in(joined(parts)) & heard)
        if again < fewest:
            best, fewest = parts, again
        if not fewest:
            break
    return best


def said_in(text: str) -> set[str]:
    """The sentences of a text, as they are compared."""
    return {plain(text[start:end]).strip() for start, end in sentences(text)}
