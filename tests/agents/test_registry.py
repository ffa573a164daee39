"""Which nodes a worker has: every one that a built-in chain names, and those of a user's own package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import registry
from settings import Settings

OWN = """
from node import node

@node("shop.greet")
def greet(state, ctx):
    return {"text": "hello"}
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    registry.nodes.cache_clear()
    yield
    registry.nodes.cache_clear()


def with_package(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    (folder / name / "nodes.py").write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(registry, "settings", lambda: Settings(chains=name))


def test_the_script_chains_nodes_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "settings", Settings)
    expected = {
        "load_context",
        "recognize_intent",
        "fetch_profile",
        "fetch_product",
        "write",
        "check_quality",
        "rewrite",
    }
    assert {f"script.{name}" for name in (*expected, "remember_turn")} <= registry.nodes().keys()


def test_a_package_of_ones_own_adds_its_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_package(tmp_path, "own_shop", OWN, monkeypatch)
    assert registry.nodes()["shop.greet"]({}, None) == {"text": "hello"}  # type: ignore[arg-type]


def test_a_name_that_is_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_package(tmp_path, "bad_shop", OWN.replace("shop.greet", "script.write"), monkeypatch)
    with pytest.raises(registry.DuplicateNode, match=r"script\.write"):
        registry.nodes()
