"""The table of `manage.py models`: one line a backend, with what its server, the workers and the price list say."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.backend import Backend
from gateway.backends.models_file import Configuration
from gateway.backends.reachability import Reach, reach
from settings import settings
from storage import model_health
from storage.model_health import Health

PIPED_WIDTH = 240  # a line a backend, whatever a program thinks the terminal is
COLUMNS = ("name", "type", "model", "languages", "capabilities", "health", "first token", "breaker", "in", "out")


@dataclass(frozen=True)
class Row:
    """One backend. health: None where Redis does not answer."""

    backend: Backend
    reach: Reach
    health: Health | None
    has_price: bool


def rows(configuration: Configuration) -> list[Row]:
    """Look at every server and at what the workers know of it."""
    names = [backend.name for backend in configuration.backends]
    healths = (model_health.look(names) if settings().redis_url else None) or {}
    reached = reach(configuration.backends)
    return [
        Row(one, reached[one.name], healths.get(one.name), one.name not in configuration.without_price)
        for one in configuration.backends
    ]


def as_json(configuration: Configuration, rows: list[Row]) -> dict[str, Any]:
    """Everything but keys. Prices are texts, so that nothing is rounded."""
    cache = configuration.semantic_cache
    return {
        "routing_strategy": configuration.routing_strategy,
        "semantic_cache": {"enabled": cache.enabled, "similarity_threshold": cache.similarity_threshold},
        "backends": [_row_as_json(row) for row in rows],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    one, health = row.backend, row.health
    return {
        "name": one.name,
        "type": one.kind,
        "model": one.model,
        "endpoint": one.endpoint,
        "languages": one.languages,
        "capabilities": one.capabilities,
        "context_tokens": one.context_tokens,
        "weak": one.weak,
        "small": one.small,
        "health": row.reach.state,
        "reason": row.reach.reason or None,
        "breaker": health.state if health else None,
        "open_for_seconds": health.open_for_seconds if health else None,
        "median_ms": health.median_ms if health else None,
        "price_in": f"{one.price_in:f}" if row.has_price else None,
        "price_out": f"{one.price_out:f}" if row.has_price else None,
    }


def show(configuration: Configuration, rows: list[Row]) -> None:
    """Print the table, and under it why servers are down."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold", justify="right" if column in ("first token", "in", "out") else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    console.print(table)
    for row in rows:
        if row.reach.reason:
            console.print(Text(f"{row.backend.name}: {row.reach.reason}"))
    cache = configuration.semantic_cache
    said = (
        f"answers alike by {cache.similarity_threshold} are shared" if cache.enabled else "no answers of like questions"
    )
    console.print(Text(f"routing: {configuration.routing_strategy}; semantic cache: {said}"))


def _cells(row: Row) -> tuple[str, ...]:
    one, health = row.backend, row.health
    return (
        one.name,
        one.kind,
        one.model,
        ",".join(one.languages),
        ",".join(one.capabilities) or "all",
        row.reach.state,
        f"{health.median_ms:.0f} ms" if health and health.median_ms is not None else "-",
        _breaker(health),
        _price(one.price_in, row.has_price),
        _price(one.price_out, row.has_price),
    )


def _breaker(health: Health | None) -> str:
    if health is None:
        return "-"
    return f"open, {health.open_for_seconds:.0f} s" if health.state == "open" else health.state


def _price(price: Decimal, has_price: bool) -> str:
    return f"{price.normalize():f}" if has_price else "no price"
