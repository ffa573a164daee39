"""Node `script.remember_turn`: the session keeps what was asked and what was answered, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.check_quality import newest_draft
from node import Context, node
from storage import sessions


@node("script.remember_turn", reads=("load_context", "write", "rewrite", "check_quality"), timeout_seconds=30)
def remember_turn(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"remembered": bool, "turns": [numbers]}; a script with open findings marks the run as degraded.

    Safe to repeat: a turn is unique by session, run and role.
    """
    verdict = state["check_quality"]
    if not verdict["passed"]:
        rules = ", ".join(
            sorted({finding["rule"] for finding in verdict["findings"] if finding["severity"] == "error"})
        )
        ctx.degrade(f"open quality findings after the rewrites: {rules}")
    if not ctx.session_id:
        return {"remembered": False, "turns": []}
    said = (("user", state["load_context"]["query"]), ("assistant", newest_draft(state)["script"]))
    numbers = [
        sessions.append_turn(ctx.tenant_id, ctx.session_id, run_id=ctx.run_id, role=role, content=content)
        for role, content in said
    ]
    return {"remembered": True, "turns": numbers}
