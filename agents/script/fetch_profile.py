"""Node `script.fetch_profile`: who speaks: the creator's style, catch-phrases, and what is never said.

The tenant's creator counts first (by `creator_id`, or by name), then a built-in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.data import load
from agents.script.tenant_rows import best_named, by_id, candidates, has_none, speaks
from agents.script.words import Language, find_word
from node import Context, node
from storage.catalog import CREATORS, key

SPOKEN = ("style", "persona")
RULES = ("banned", "brand_bans", "policy_tags", "categories")


@node("script.fetch_profile", reads=("input", "load_context", "recognize_intent", "clarify"), timeout_seconds=30)
def fetch_profile(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"id": str|None, "name": str|None, "style", "tone", "persona": or None, "catch_phrases": [...], "banned": [...],
    "brand_bans": [...], "policy_tags": [...], "categories": [...], "known": bool, "fields": {name: where it is from}}.

    A creator that nobody described gets a generic profile under the given name, `known` false. `fields` says
    `creator_profiles.style` or `seed_set.creators.style`. Final (`unknown_creator`): a `creator_id` of no creator.
    """
    context, asked = state["load_context"], state.get("clarify") or state["recognize_intent"]
    language = asked["language"]
    wish = str(context["wishes"].get("influencer_name") or asked["slots"].get("creator") or "")
    row = by_id(state, ctx, CREATORS) or named(ctx, context["query"], wish, language)
    if row is not None:
        found = profile(row, "creator_profiles", language)
    else:
        built_in = load("seed_set")["creators"] if has_none(ctx, CREATORS) else []
        name = wish or creator_in(built_in, context["query"], language)
        seed = next((one for one in built_in if key(one["name"]) == key(name or "")), None)
        found = profile(seed or {"name": name}, "seed_set.creators" if seed else "", language)
    ctx.emit("profile_fetched", name=found["name"], known=found["known"], tone=found["tone"])
    return found


def named(ctx: Context, query: str, wish: str, language: Language) -> Mapping[str, Any] | None:
    """The tenant's creator of the wished name; without a wish, the one whom the query names."""
    if wish:
        same = [row for row in candidates(ctx, CREATORS, "", wish) if key(row["name"]) == key(wish)]
        return same[0] if same else None
    return best_named(candidates(ctx, CREATORS, query, ""), query, "", language)


def profile(row: Mapping[str, Any], source: str, language: Language) -> dict[str, Any]:
    """The output for a creator; what one says in one language is no use in another. source: "" for nobody we know."""
    fluent = speaks(row, language)
    found: dict[str, Any] = {"name": row["name"]}
    found |= {name: row.get(name) if fluent else None for name in SPOKEN}
    found |= {"tone": row.get("default_tone") if fluent else None}
    found |= {"catch_phrases": list(row.get("catch_phrases") or ()) if fluent else []}
    found |= {name: list(row.get(name) or ()) for name in RULES}
    given = {name: "default_tone" if name == "tone" else name for name, value in found.items() if value}
    return {
        "id": str(row["id"]) if row.get("id") else None,
        **found,
        "known": bool(source),
        "fields": {name: f"{source}.{field}" for name, field in given.items()} if source else {},
    }


def creator_in(creators: Sequence[Mapping[str, Any]], query: str, language: Any) -> str | None:
    """Whom of these creators the request names, or None."""
    return next((str(one["name"]) for one in creators if find_word(one["name"], query, language) >= 0), None)
