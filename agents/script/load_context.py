"""Node `script.load_context`: what the session already knows, its last turns, and the request's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script import memory
from agents.script.words import language_of
from node import Context, Final, node
from storage import sessions

OWN_FIELDS = (
    "creator_id",
    "influencer_name",
    "category",
    "product_id",
    "product",
    "products",
    "tone",
    "scene",
    "length_seconds",
    "audience",
    "platform",
    "occasion",
    "must_say",
    "must_not_say",
)
NOTHING = memory.Memory((), {}, (), (), 0)


@node("script.load_context", reads=("input",), timeout_seconds=30)
def load_context(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"query", "language", "wishes": {field: value}, "session_id", "turns": [{"role", "content"}], "summary",
    "scripts": [{"turn", "run_id", "asked", "text", "items"}], "bans"}.

    `wishes` are the session's fields, and over them those of the request itself. `summary` tells of turns that are
    older than `turns`; `scripts` are those that the request may point back to; `bans` are words that the session's
    turns forbade. Final: a request without a query.
    """
    request = state["input"]
    query = str(request.get("query") or "").strip()
    if not query:
        raise Final("the request has no query: say what the script should be about", code="empty_query")
    session = sessions.ensure(ctx.tenant_id, ctx.session_id) if ctx.session_id else {}
    known = memory.recall(ctx.tenant_id, ctx.session_id, without_run=ctx.run_id) if ctx.session_id else NOTHING
    wishes = {name: value for name in OWN_FIELDS if (value := request.get(name) or session.get(name))}
    return {
        "query": query,
        "language": request.get("language") or language_of(query),
        "wishes": wishes,
        "session_id": ctx.session_id,
        "turns": [{"role": turn["role"], "content": turn["content"]} for turn in known.turns],
        "summary": known.summary,
        "scripts": list(known.scripts),
        "bans": list(known.bans),
    }
