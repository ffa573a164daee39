"""What a product's `compliance_tags` do: which packs hold, whether its row excuses a claim, what has to be said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.script.data import FOLDER
from agents.script.quality.packs import InvalidPack, Pack, read_file
from agents.script.rules import check
from tests.agents.skill_driver import Driven
from tests.agents.test_quality import brief, found

STATEMENT = "本品不能代替药物"
PILLS = {
    "name": "康源维生素C片",
    "price": 88,
    "category": "food",
    "selling_points": ["一天一片", "有助于增强免疫力"],
}
CREAM = {"name": "亮亮面霜", "category": "beauty", "selling_points": ["美白淡斑"]}


def rules_of(text: str, category: str, *tags: str, row: dict[str, Any] | None = None) -> list[str]:
    """The rules that find something in a text about a product with these tags."""
    given = brief(category=category, row={**(row or {}), "compliance_tags": list(tags)})
    return [one["rule"] for one in found(text, given)]


def written(product: dict[str, Any], *tags: str) -> dict[str, Any]:
    """The output of a run that writes about a product with these tags."""
    given = {"query": "写一段30秒的讲解", "product": {**product, "compliance_tags": list(tags)}}
    return dict(Driven("script", given).output)


# -- which packs hold --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tag", "rule"),
    [
        ("这瓶是药妆。", "普通化妆品", "cosmetics-medical"),
        ("每天一杯降血糖。", "预包装食品", "food-health"),
        ("吃它见效快。", "保健食品", "health-food-18"),
        ("宝宝喝了大脑发育好。", "婴配", "infant-formula-claims"),
    ],
)
def test_a_tag_selects_a_pack_whatever_the_category(text: str, tag: str, rule: str) -> None:
    # Given a product of a category that the pack is not for, then its tag is what makes the rule hold
    assert rule in rules_of(text, "home", tag)
    assert rule not in rules_of(text, "home")
    assert rule not in rules_of(text, "home", "易碎品")


def test_a_tag_is_read_whatever_its_width_and_case() -> None:
    assert "infant-formula-claims" in rules_of("It is easily absorbed. 易消化。", "home", "Ｉnfant Formula ")


# -- whether the row excuses a claim -----------------------------------------------------------------------------------


def test_the_row_of_an_ordinary_cosmetic_excuses_no_special_effect() -> None:
    text = "这瓶可以美白。"
    assert rules_of(text, "beauty", row=CREAM) == []
    assert rules_of(text, "beauty", "特殊化妆品", row=CREAM) == []
    assert rules_of(text, "beauty", "普通化妆品", row=CREAM) == ["cosmetics-special"]
    assert "美白" not in written(CREAM, "普通化妆品")["script"]
    assert "美白" in written(CREAM, "特殊化妆品")["script"]


def test_a_health_function_needs_the_tag_and_the_row() -> None:
    text = "有助于增强免疫力。"
    assert rules_of(text, "food", "保健食品", row=PILLS) == []
    assert rules_of(text, "food", "预包装食品", row=PILLS) == ["food-health"]
    assert rules_of(text, "food", row=PILLS) == ["food-health"]
    assert rules_of(text, "food", "保健食品", row={"name": "康源维生素C片"}) == ["food-health"]


# -- what has to be said -----------------------------------------------------------------------------------------------


def test_the_statement_of_the_law_is_said_in_every_script_of_a_health_food() -> None:
    output = written(PILLS, "保健食品")
    assert STATEMENT in output["script"] and output["quality"]["passed"]
    assert output["seconds"] == pytest.approx(30, rel=0.15)
    assert [one["rule"] for one in output["quality"]["findings"]] == ["health-food-46"]
    # And of any other food in none
    assert STATEMENT not in written(PILLS, "预包装食品")["script"]


def test_a_script_without_the_statement_fails_and_a_change_adds_it() -> None:
    script = "大家好，康源维生素C片来了。\n一天一片，88元，想了解的问我。\n看清楚再拍，点关注。"
    given = brief(category="food", row={**PILLS, "compliance_tags": ["保健食品"]})
    missing = next(one for one in check(script, given) if one["rule"] == "health-food-18.statement")
    assert (missing["severity"], missing["rewrite"]) == ("error", None)
    product = {**PILLS, "compliance_tags": ["保健食品"]}
    changed = Driven("script.modify", {"query": "把康源改成康原", "script": script, "product": product}).output
    assert STATEMENT in changed["script"]
    assert all(line in changed["script"] for line in ("大家好", "一天一片", "点关注"))


def test_a_product_that_no_livestream_may_advertise_never_passes_and_loses_no_sentence() -> None:
    run = Driven("script", {"query": "写一段讲解", "product": {"name": "云雾香烟", "compliance_tags": ["烟草"]}})
    assert [one["rule"] for one in run.output["quality"]["findings"]] == ["not-advertised-15"]
    assert not run.output["quality"]["passed"]
    assert run.outputs["write"]["script"] == run.output["script"]
    assert any("not-advertised-15" in reason for reason in run.ctx.degraded)


# -- the packs ---------------------------------------------------------------------------------------------------------


def test_every_tag_of_a_pack_stands_in_the_documentation() -> None:
    page = (FOLDER.parents[2] / "docs" / "script-studio.md").read_text(encoding="utf-8")
    tags = {
        tag
        for path in (FOLDER / "rule_packs").glob("*.yaml")
        if path.name != "evasions.yaml"
        for tag in read_file(path, Pack).tags
    }
    assert len(tags) > 10
    assert [tag for tag in tags if f"`{tag}`" not in page] == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("notices: [{id: a, family: f, statement: nonsense, zh: {reason: x}}]", "there is no statement 'nonsense'"),
        ("rules: []", "rules or notices are expected"),
    ],
)
def test_a_pack_that_says_nothing_or_names_no_statement_is_refused(tmp_path: Path, more: str, told: str) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(f'id: house\nversion: "1"\ntitle: our own\n{more}\n', encoding="utf-8")
    with pytest.raises(InvalidPack, match=told):
        read_file(path, Pack)
