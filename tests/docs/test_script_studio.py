"""docs/script-studio.md: its examples have the shape of what the command prints, and its tables name what there is."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from chains import catalog
from operate.script_view import Told, noted, result
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "script-studio.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("script_examples", ROOT / "docs" / "script_examples.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_three_examples_and_each_has_its_shape(maker: ModuleType) -> None:
    found = [maker.shape_of(printed) for _, printed in maker.examples(PAGE)]
    assert found == ["script", "change", "batch"]
    assert maker.main(["--check"]) == 0


def test_the_shapes_are_those_of_the_command(maker: ModuleType) -> None:
    # Given what the command prints of a run, from its events and its output
    events = [
        ("profile_fetched", {"name": "小雅", "known": True}),
        ("product_fetched", {"name": None}),
        ("quality_checked", {"passed": True, "findings": 0}),
    ]
    wished = {name: ("intent_recognized", {"intent": name, "slots": {}}) for name in ("generate", "modify", "batch")}
    output = {
        "script": "一\n二",
        "seconds": 3.0,
        "tone": "活泼",
        "writer": "rules",
        "rewrites": 1,
        "quality": {"passed": True, "score": 1.0, "findings": []},
    }
    plain = "\n".join(
        [*(str(noted(*event)) for event in (wished["generate"], *events)), *result(Told("completed", output))]
    )
    assert maker.shape_of(plain) == "script"
    # And of one that changed a script, and of a batch
    found = ("script_found", {"parts": 2, "run_id": None})
    change = {**output, "diff": [{"kind": "offer", "before": "一", "after": None}]}
    told = [*(str(noted(*event)) for event in (wished["modify"], found, *events)), *result(Told("completed", change))]
    assert maker.shape_of("\n".join(told)) == "change"
    batch = [
        wished["batch"],
        ("batch_started", {"count": 1}),
        ("item_done", {"index": 0, "product": "x", "script": "y"}),
    ]
    ended = result(Told("completed", {"items": [{}], "written": 1, "failed": 0}))
    assert maker.shape_of("\n".join([*(str(noted(*event)) for event in batch), *ended])) == "batch"
    # Then something else is none of them
    assert maker.shape_of("status: completed") is None


def test_the_table_has_every_skill() -> None:
    skills = {name for name in catalog.catalog() if name == "script" or name.startswith("script.")}
    named = set(re.findall(r"^\| `(script(?:\.\w+)?)` \|", PAGE, re.MULTILINE))
    assert named == skills
