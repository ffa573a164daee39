"""Node `script.check_quality`: may this be said aloud? Findings by rule, each with its place in the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.brief import SOURCES, brief_from
from agents.script.rules import check
from node import Context, node

ERROR_COST, WARNING_COST = 0.25, 0.05


@node("script.check_quality", reads=(*SOURCES, "write", "rewrite"), timeout_seconds=60)
def check_quality(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"passed": bool, "score": 0..1, "findings": [Finding]}; an "error" finding fails the script."""
    draft = newest_draft(state)
    findings = check(draft["script"], brief_from(state), by_model=draft["writer"] == "model")
    errors = sum(1 for finding in findings if finding["severity"] == "error")
    score = max(0.0, 1 - ERROR_COST * errors - WARNING_COST * (len(findings) - errors))
    return {"passed": not errors, "score": round(score, 2), "findings": list(findings)}


def newest_draft(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last version of the script: the newest rewrite, or what was written first."""
    draft: Mapping[str, Any] = state.get("rewrite") or state["write"]
    return draft
