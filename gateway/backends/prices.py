"""List prices and context windows of hosted models, from data/prices.yaml; what the models file says comes before."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

LIST = Path(__file__).with_name("data") / "prices.yaml"


class Listed(NamedTuple):
    """What the list says of a model: money for 1,000 tokens, and prompt and answer together."""

    price_in: Decimal
    price_out: Decimal
    context_tokens: int


def listed(kind: str, model: str) -> Listed | None:
    """The list's entry for a hosted model; None: it is not known, or runs on the operator's own machines."""
    return _list().get((kind, model))


@cache
def _list() -> dict[tuple[str, str], Listed]:
    kinds = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    return {
        (kind, model): Listed(_a_thousand(row["money_in"]), _a_thousand(row["money_out"]), row["context_tokens"])
        for kind, models in kinds.items()
        for model, row in models.items()
    }


def _a_thousand(money_a_million: float) -> Decimal:
    return Decimal(str(money_a_million)) / 1000
