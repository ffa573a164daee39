"""Node `script.load_context`: what the session already knows, its last turns, and the request's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.words import language_of
from node import Context, Final, node
from storage import sessions

TURNS_KEPT = 6
OWN_FIELDS = ("influencer_name", "category", "product", "tone", "scene", "length_seconds")


@node("script.load_context", reads=("input",), timeout_seconds=30)
def load_context(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"query", "language", "wishes": {field: value}, "session_id", "turns": [{"role", "content"}]}.

    `wishes` are the session's fields, and over them those of the request itself. Final: a request without a query.
    """
    request = state["input"]
    query = str(request.get("query") or "").strip()
    if not query:
        raise Final("the request has no query: say what the script should be about", code="empty_query")
    session = sessions.ensure(ctx.tenant_id, ctx.session_id) if ctx.session_id else {}
    turns = sessions.turns(ctx.tenant_id, ctx.session_id, limit=TURNS_KEPT) if ctx.session_id else []
    wishes = {name: value for name in OWN_FIELDS if (value := request.get(name) or session.get(name))}
    return {
        "query": query,
        "language": request.get("language") or language_of(query),
        "wishes": wishes,
        "session_id": ctx.session_id,
        "turns": [{"role": turn["role"], "content": turn["content"]} for turn in turns if turn["run_id"] != ctx.run_id],
    }
