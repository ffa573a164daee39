"""A tenant's own creators and products, as the two fetching nodes look for them: by id, or by a name that was said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from agents.script.words import Language, find_word
from errors import NotFound
from node import Context, Final
from storage import catalog
from storage.catalog import SHORTEST_NAME, Kind, key

Row = Mapping[str, Any]


def by_id(state: Mapping[str, Any], ctx: Context, kind: Kind) -> Row | None:
    """The row that the run's input or its session names by `creator_id` / `product_id`; None where neither does.

    Final: there is no such row. A script about something else than what was asked for would be worse than none.
    """
    name = f"{kind.word}_id"
    wanted = (state.get("input") or {}).get(name) or state["load_context"]["wishes"].get(name)
    if not wanted:
        return None
    try:
        if not catalog.there():
            raise NotFound("no database is configured")
        return catalog.get(UUID(ctx.tenant_id), kind, UUID(str(wanted)))
    except (ValueError, NotFound):
        raise Final(f"there is no {kind.word} of the id {wanted}", code=f"unknown_{kind.word}") from None


def candidates(ctx: Context, kind: Kind, query: str, wish: str) -> Sequence[Row]:
    """The tenant's rows that the request may mean: one query, and none where nothing can be meant."""
    if not catalog.there() or not (query or wish).strip():
        return []
    return catalog.named(UUID(ctx.tenant_id), kind, f"{wish}\n{query}", wish)


def best_named(rows: Iterable[Row], query: str, wish: str, language: Language) -> Row | None:
    """The row that is meant: named by the query before by the wish, in the request's language, by the longest name.

    The wish may be older than the query (a session's), so what the query says counts first. A wish that is a part of
    one row's name means that row, and none where it is a part of several.
    """
    found = [(place, row) for row in rows if (place := _place(row, query, wish, language)) is not None]
    if found:
        return min(found, key=lambda one: one[0])[1]
    partly = [row for row in rows if len(key(wish)) >= SHORTEST_NAME and key(wish) in key(row["name"])]
    return partly[0] if len(partly) == 1 else None


def has_none(ctx: Context, kind: Kind) -> bool:
    """Whether the built-in examples may stand in: only for a tenant without any rows of its own.

    Who has a catalogue must never hear the price of an example.
    """
    return not catalog.there() or not catalog.has_any(UUID(ctx.tenant_id), kind)


def speaks(row: Row, language: Language) -> bool:
    """Whether what a row says can be said in this language."""
    return row.get("language") in (None, language)


def _place(row: Row, query: str, wish: str, language: Language) -> tuple[int, bool, int, int] | None:
    """How well a row's names fit, the smaller the better; None: not at all."""
    said, wished = key(query), key(wish)
    names = [name for name in map(key, [row["name"], *row.get("aliases", ())]) if len(name) >= SHORTEST_NAME]
    in_query = [(-len(name), at) for name in names if (at := find_word(name, said, language)) >= 0]
    in_wish = [(-len(name), at) for name in names if (at := find_word(name, wished, language)) >= 0]
    foreign, exact = not speaks(row, language), wished in names
    if in_query:
        return (0 if exact else 1, foreign, *min(in_query))
    if in_wish:
        return (2 if exact else 3, foreign, *min(in_wish))
    return None
