"""Node `script.fetch_product`: what is sold: the facts that a script may state, and nothing beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.words import find_word
from node import Context, node

FACTS = ("price", "currency", "selling_points", "specification", "offer")


@node("script.fetch_product", reads=("load_context", "recognize_intent"), timeout_seconds=30)
def fetch_product(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"name": str|None, "category": code, "category_label", "price", "currency", "selling_points": [...],
    "specification", "offer", "known": bool}; facts that nobody gave are None.

    The request's own product object counts first, then a built-in product that it names. Without either the
    script speaks of the category alone and makes no claim.
    """
    context, intent = state["load_context"], state["recognize_intent"]
    slots = intent["slots"]
    wished = slots.get("product")
    row = (
        dict(wished)
        if isinstance(wished, Mapping)
        else built_in(str(wished or ""), context["query"], intent["language"])
    )
    name = row["name"] if row and row.get("name") else (wished if isinstance(wished, str) else None)
    category = row["category"] if row and row.get("category") in load("lexicon")["categories"] else slots["category"]
    label = slots["category_label"]
    if category != slots["category"] and category != "general":
        label = load("lexicon")["categories"][category][intent["language"]]["label"]
    facts = {field: (row or {}).get(field) for field in FACTS}
    facts["selling_points"] = [str(point) for point in facts["selling_points"] or []]
    return {"name": name, "category": category, "category_label": label, **facts, "known": row is not None}


def built_in(wished: str, query: str, language: Any) -> dict[str, Any] | None:
    """The built-in product of the request's language whose name or alias stands in the wish or the query."""
    for row in load("seed_set")["products"]:
        names = [row["name"], *row["aliases"]]
        if row["language"] == language and any(find_word(n, f"{wished} \n {query}", language) >= 0 for n in names):
            return dict(row)
    return None
