"""Node `script.fetch_profile`: who speaks: the creator's style, catch-phrases and banned words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.words import find_word
from node import Context, node


@node("script.fetch_profile", reads=("load_context", "recognize_intent"), timeout_seconds=30)
def fetch_profile(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"name": str|None, "style", "tone", "catch_phrases": [...], "banned": [...], "known": bool}.

    A creator that nobody described gets a generic profile under the given name, `known` false.
    """
    context, intent = state["load_context"], state["recognize_intent"]
    language = intent["language"]
    name = context["wishes"].get("influencer_name") or creator_in(context["query"], language)
    row = next((row for row in load("seed_set")["creators"] if row["name"].lower() == str(name or "").lower()), None)
    if row is None:
        return {"name": name, "style": None, "tone": None, "catch_phrases": [], "banned": [], "known": False}
    fluent = row["language"] == language  # what a creator says in one language is no use in another
    return {
        "name": row["name"],
        "style": row["style"] if fluent else None,
        "tone": row["default_tone"] if fluent else None,
        "catch_phrases": list(row["catch_phrases"]) if fluent else [],
        "banned": list(row["banned"]),
        "known": True,
    }


def creator_in(query: str, language: Any) -> str | None:
    """A built-in creator whom the request names, or None."""
    names = (row["name"] for row in load("seed_set")["creators"])
    return next((name for name in names if find_word(name, query, language) >= 0), None)
