"""docs/your-first-chain.md: its code is short, loads as a package of one's own, and does what the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from chains import catalog
from chains.definition import Chain
from chains.plan import plan
from node import Final

PAGE = Path(__file__).parents[2] / "docs" / "your-first-chain.md"


def code_of_the_page() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's package, found by BATON_CHAINS."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(code_of_the_page())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("settings.settings", lambda: SimpleNamespace(chains="shop"))
    catalog.clear()
    assert isinstance(catalog.latest("order"), Chain)
    yield sys.modules.pop("shop")
    catalog.clear()


class Ledger:
    """The one thing of a context that the page's nodes use."""

    def effect(self, name: str, kind: str, request: Any, call: Callable[[str], Any]) -> Any:
        return call("a-key-of-the-ledger-12345678")


def next_keys(done: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    now = plan(catalog.definition("order", "1", {}), {}, done)
    return [[one.key for one in line] for line in now.lines]


def test_it_is_thirty_lines_or_less() -> None:
    assert len(code_of_the_page().splitlines()) <= 30


def test_a_small_order_ships_at_once(shop: ModuleType) -> None:
    order = {"items": [{"price": 30, "count": 2}]}
    assert next_keys({}) == [["price"]]
    assert shop.price({"input": order}, Ledger()) == {"total": 60}
    assert next_keys({"price": {"total": 60}}) == [["ship"]]
    shipped = shop.ship({"input": order, "price": {"total": 60}}, Ledger())
    assert shipped == {"text": "Parcel 12345678 for 60."}


def test_a_large_order_waits_for_an_answer(shop: ModuleType) -> None:
    assert next_keys({"price": {"total": 120}}) == [["approve"]]
    assert next_keys({"price": {"total": 120}, "approve": {"approved": True}}) == [["ship"]]


def test_an_order_that_was_not_approved_is_not_shipped(shop: ModuleType) -> None:
    with pytest.raises(Final):
        shop.ship({"input": {}, "price": {"total": 120}, "approve": {"approved": False}}, Ledger())


def test_every_part_of_the_table_is_in_the_language() -> None:
    import chains.definition as language

    for name in re.findall(r"^\| `(\w+)\(", PAGE.read_text(), re.MULTILINE):
        assert name in language.__all__
