"""Node `script.remember_turn`: the session keeps what was asked and what was answered, once, and stays small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script import memory
from agents.script.check_quality import newest_draft
from node import Context, node
from storage import sessions

READS = ("load_context", "recognize_intent", "clarify", "write", "rewrite", "check_quality", "answer")


@node("script.remember_turn", reads=READS, timeout_seconds=60)
def remember_turn(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"remembered": bool, "turns": [numbers], "folded": bool}; open findings mark the run as degraded.

    folded: older turns went into the session's summary. Safe to repeat: a turn is unique by session, run and role.
    """
    degrade_by_findings(state, ctx)
    if not ctx.session_id:
        return {"remembered": False, "turns": []}
    numbers = [
        sessions.append_turn(ctx.tenant_id, ctx.session_id, run_id=ctx.run_id, role=role, content=content, kind=kind)
        for role, content, kind in said(state)
    ]
    return {"remembered": True, "turns": numbers, "folded": memory.tidy(ctx.tenant_id, ctx.session_id, ctx)}


def degrade_by_findings(state: Mapping[str, Any], ctx: Context) -> None:
    """Say that the script still has findings, where it has."""
    verdict = state.get("check_quality")
    if verdict and not verdict["passed"]:
        rules = ", ".join(
            sorted({finding["rule"] for finding in verdict["findings"] if finding["severity"] == "error"})
        )
        ctx.degrade(f"open quality findings after the rewrites: {rules}")


def said(state: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    """(role, content, kind) of what the user said, with the answer to a question, and of what the user got: a script, a
    batch's scripts, an answer, or nothing.

    The friendly word after an unanswered question is not kept: it is no script that anything could point back to.
    """
    asked, clarified = state["load_context"]["query"], state.get("clarify") or {}
    # Which script was meant is told by the reference; its title among the words of the user would be misread later.
    told = clarified.get("answer") if clarified.get("asked") != "which_script" else None
    user = f"{asked}\n{told}" if told else asked
    got = kind_of(state)
    if got == memory.SCRIPT:
        return [("user", user, None), ("assistant", newest_draft(state)["script"], got)]
    text = (state.get("answer") or {}).get("text")
    return [("user", user, None), *([("assistant", str(text), got)] if text else [])]


def kind_of(state: Mapping[str, Any]) -> str:
    """What the run gave the user: the way that it went says so, and no words have to be read again."""
    if state.get("write") or state.get("rewrite"):
        return memory.SCRIPT
    understood = state.get("clarify") or state.get("recognize_intent") or {}
    return memory.BATCH if understood.get("intent") == "batch" else memory.ANSWER
