"""Node `script.check_quality`: may this be said aloud? Findings by rule, each with its place in the text.

What is checked stands in `rules.py`; beside the findings the node says which facts of the product the script states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.brief import SOURCES, brief_from
from agents.script.quality.facts import facts_used
from agents.script.quality.shelf import book
from agents.script.rules import check
from node import Context, node

ERROR_COST, WARNING_COST = 0.25, 0.05


@node("script.check_quality", reads=(*SOURCES, "write", "rewrite"), timeout_seconds=60)
def check_quality(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"passed": bool, "score": 0..1, "findings": [Finding], "facts_used": [FactUsed], "packs": {id: version}}.

    An "error" finding fails the script, a "warning" does not.
    """
    draft, brief = newest_draft(state), brief_from(state)
    findings = check(draft["script"], brief, draft["parts"])
    errors = sum(1 for finding in findings if finding["severity"] == "error")
    score = max(0.0, 1 - ERROR_COST * errors - WARNING_COST * (len(findings) - errors))
    verdict = {"passed": not errors, "score": round(score, 2)}
    ctx.emit("quality_checked", **verdict, findings=len(findings), errors=errors)
    return {
        **verdict,
        "findings": list(findings),
        "facts_used": list(facts_used(draft["script"], state["fetch_product"])),
        "packs": dict(book().versions),
    }


def newest_draft(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last version of the script: the newest rewrite, or what was written first."""
    draft: Mapping[str, Any] = state.get("rewrite") or state["write"]
    return draft
