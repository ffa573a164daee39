"""Node `script.fetch_product`: what is sold: the facts that a script may state, and nothing beyond them.

Facts come from the tenant's product (by `product_id`, or by a name or alias that was said); where it is silent, from
the product object of the request; without either, from a built-in product that is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.tenant_rows import best_named, by_id, candidates, has_none, speaks
from agents.script.words import LANGUAGES, Language, find_word, has_any
from node import Context, node
from storage.catalog import PRODUCTS

SPOKEN_FACTS = (
    "offer", "stock_note", "specification", "origin", "audience", "selling_points", "ingredients", "certifications",
)  # fmt: skip
NUMBERS_AND_NAMES = ("price", "original_price", "currency", "brand")
LISTS = ("selling_points", "ingredients", "certifications")
RULES = ("brand_bans", "compliance_tags")  # what must not be said, and what must be looked at: no facts

Sources = list[tuple[str, Mapping[str, Any]]]


@node("script.fetch_product", reads=("input", "load_context", "recognize_intent", "clarify"), timeout_seconds=30)
def fetch_product(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"id": str|None, "name": str|None, "category": code, "category_label", "known": bool,
    "price", "original_price", "currency", "offer", "stock_note", "specification", "brand", "origin", "audience": None
    if unknown, "selling_points": [...], "ingredients": [...]|None, "certifications": [...]|None, "extra": {...},
    "brand_bans": [...], "compliance_tags": [...], "fields": {fact: where it came from}}; facts that nobody gave: None.

    `fields` says for each fact that is there `product_profiles.price`, `input.product.price` or
    `seed_set.products.price`. Final (`unknown_product`): a `product_id` of no product.
    """
    context, intent = state["load_context"], state.get("clarify") or state["recognize_intent"]
    slots, language = intent["slots"], intent["language"]
    wished = slots.get("product")
    own = dict(wished) if isinstance(wished, Mapping) else None
    wish = str((own or {}).get("name") or "") if own is not None else str(wished or "")
    # An object with a name says what it is about: the query may speak of others.
    query = "" if own is not None and wish else context["query"]
    row = by_id(state, ctx, PRODUCTS) or best_named(candidates(ctx, PRODUCTS, query, wish), query, wish, language)
    seed = built_in(ctx, wish, context["query"], language) if row is own is None else None
    sources = sources_of(row, own, seed, language)
    facts, fields = facts_of(sources, language)
    name = facts.pop("name") or wish or None
    ctx.emit("product_fetched", name=name, known=bool(sources), facts=sorted(fields))
    return {
        "id": str(row["id"]) if row else None,
        "name": name,
        **category_of(sources, slots, language),
        **facts,
        **{name: texts((row or own or {}).get(name)) or [] for name in RULES},
        "known": bool(sources),
        "fields": fields,
    }


def sources_of(row: Any, own: Any, seed: Any, language: Language) -> Sources:
    """Where facts may come from, the first before the others. What a row says in another language is no use here."""
    sources: Sources = []
    if row is not None:
        said = row if speaks(row, language) else {name: row[name] for name in ("name", *NUMBERS_AND_NAMES, "category")}
        sources.append(("product_profiles", said))
    if own is not None:
        sources.append(("input.product", own))
    if seed is not None:
        sources.append(("seed_set.products", seed))
    return sources


def facts_of(sources: Sources, language: Language) -> tuple[dict[str, Any], dict[str, str]]:
    """Each fact with the first source that has it, and the name of its field there."""
    facts: dict[str, Any] = {}
    fields: dict[str, str] = {}
    for name in ("name", *NUMBERS_AND_NAMES, *SPOKEN_FACTS):
        facts[name] = None
        for source, values in sources:
            if (value := texts(values.get(name)) if name in LISTS else values.get(name)) not in (None, "", []):
                facts[name], fields[name] = value, f"{source}.{name}"
                break
    if facts["currency"]:
        facts["currency"] = spoken_currency(str(facts["currency"]), language)
    elif facts["price"] is not None and language == "zh":
        # A Chinese price cannot be said without its unit, and who leaves it out means 元.
        facts["currency"], fields["currency"] = "元", "assumed"
    facts["selling_points"] = facts["selling_points"] or []
    facts["extra"] = {}
    for source, values in reversed(sources):
        if isinstance(extra := values.get("extra"), Mapping):
            facts["extra"].update(extra)
            fields.update({f"extra.{name}": f"{source}.extra.{name}" for name in extra})
    return facts, fields


def texts(value: Any) -> list[str] | None:
    """A list of texts from what a client gave: one text is a list of one."""
    if isinstance(value, str):
        return [value]
    return [str(one) for one in value] if isinstance(value, list | tuple) else None


def category_of(sources: Sources, slots: Mapping[str, Any], language: Language) -> dict[str, str]:
    """{"category", "category_label"}: the product's own, where the lexicon knows it or it can be said as it stands."""
    given = next((str(values["category"]) for _, values in sources if values.get("category")), "general")
    known = load("lexicon")["categories"]
    if given in known and given != slots["category"]:
        return {"category": given, "category_label": known[given][language]["label"]}
    if given == "general" or given in known:
        return {"category": slots["category"], "category_label": slots["category_label"]}
    code = next((code for code in known if names(known[code], given)), None)
    if language == "zh" or given.isascii():
        return {"category": code or "general", "category_label": given}
    label = known[code][language]["label"] if code else slots["category_label"]
    return {"category": code or slots["category"], "category_label": label}


def names(category: Mapping[str, Any], given: str) -> bool:
    """Whether a category's words in either language name what was given."""
    return any(has_any(category[language]["words"], given, language) for language in LANGUAGES)


def spoken_currency(given: str, language: Language) -> str:
    """The word that is said for an ISO code or a sign; any other word as it stands."""
    return str(load("currencies").get(given.upper(), {}).get(language, given))


def built_in(ctx: Context, wished: str, query: str, language: Any) -> dict[str, Any] | None:
    """The built-in product of the request's language whose name or alias stands in the wish or the query.

    None for a tenant that has products of its own.
    """
    if not has_none(ctx, PRODUCTS):
        return None
    for row in load("seed_set")["products"]:
        known = [row["name"], *row["aliases"]]
        if row["language"] == language and any(find_word(n, f"{wished} \n {query}", language) >= 0 for n in known):
            return dict(row)
    return None
