"""The chains that come with Baton: what they accept, which steps they have, what they answer."""

from __future__ import annotations

from typing import Any

import pytest

from chains import catalog
from chains.definition import Results, StepResult
from chains.plan import plan
from chains.probe import PROBE
from chains.script_body import diff
from chains.skills.generate import SCRIPT
from errors import InvalidInput


def run(given: dict[str, Any]) -> list[str]:
    """The keys of a whole run of the probe, in the order of the plan."""
    accepted = PROBE.accept(given)
    body, done = catalog.definition("probe", "1", accepted.facts), dict[str, dict[str, Any]]()
    while not (now := plan(body, accepted.facts, done)).finished:
        done |= {one.key: {} for line in now.lines for one in line}
    return list(done)


def wrong_fields(given: Any, chain: Any = PROBE) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        chain.accept(given)
    return [error["field"] for error in refused.value.errors]


class TestProbe:
    def test_by_default_it_is_a_line_of_eight(self) -> None:
        assert run({}) == ["1", "2", "3", "4", "5", "6", "7", "8"]

    def test_a_fan_out_is_branches_and_a_join(self) -> None:
        assert run({"steps": 1, "fan_out": 3}) == ["1", "branch[0]", "branch[1]", "branch[2]", "join"]

    def test_a_thousand_steps_are_built_once(self) -> None:
        facts = PROBE.accept({"steps": 1000}).facts
        assert catalog.definition("probe", "1", facts) is catalog.definition("probe", "1", dict(facts))
        assert len(run({"steps": 1000})) == 1000

    @pytest.mark.parametrize(("sleep_ms", "quick"), [(0, True), (1, False)])
    def test_its_nodes_are_quick_when_they_do_not_sleep(self, sleep_ms: int, quick: bool) -> None:
        facts = PROBE.accept({"sleep_ms": sleep_ms, "fan_out": 1}).facts
        lines = plan(catalog.definition("probe", "1", facts), facts, {}).lines
        assert {one.quick for one in lines[0]} == {quick}

    def test_the_input_stays_as_it_was_sent_and_the_facts_have_the_defaults(self) -> None:
        accepted = PROBE.accept({"fail": {"3": 2}})
        assert accepted.input == {"fail": {"3": 2}}
        assert accepted.facts == {"steps": 8, "fan_out": 0, "sleep_ms": 0}

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"steps": 0}, "input.steps"),
            ({"steps": 1001}, "input.steps"),
            ({"steps": True}, "input.steps"),
            ({"steps": "8"}, "input.steps"),
            ({"steps": None}, "input.steps"),
            ({"sleep_ms": 60_001}, "input.sleep_ms"),
            ({"payload_bytes": 5_000_001}, "input.payload_bytes"),
            ({"fan_out": 33}, "input.fan_out"),
            ({"fan_out": -1}, "input.fan_out"),
            ({"fail": {"0": 1}}, "input.fail.0"),
            ({"fail": {"x": 1}}, "input.fail.x"),
            ({"fail": {"1": -2}}, "input.fail.1"),
            ({"fail": [1]}, "input.fail"),
            ({"effect": "twice"}, "input.effect"),
            ({"stepz": 8}, "input.stepz"),
            ([], "input"),
            ("x", "input"),
        ],
    )
    def test_a_wrong_field_is_named(self, given: Any, field: str) -> None:
        assert wrong_fields(given) == [field]

    @pytest.mark.parametrize(
        "given",
        [
            {"steps": 1000, "sleep_ms": 60_000, "payload_bytes": 5_000_000, "fan_out": 32},
            {"fail": {"1": -1, "1000": 0}, "effect": "at_most_once"},
            {"effect": "idempotent"},
            {"effect": "none"},
        ],
    )
    def test_the_bounds_are_allowed(self, given: dict[str, Any]) -> None:
        assert PROBE.accept(given).input == given

    def test_it_answers_what_was_run_in_the_order_of_the_commits(self) -> None:
        keys = ["1", "branch[1]", "branch[0]"]
        steps = [StepResult(key, "probe.work", version, {}) for version, key in enumerate(keys, 1)]
        assert PROBE.output
        assert PROBE.output(Results({}, steps, 3, read=lambda key: None)) == {"executed": keys, "effects": 3}


class TestScript:
    def lines(self, **clarified: Any) -> list[list[list[str]]]:
        """The lines of a run whose checks never pass, of a request of this kind."""
        facts = {"intent": "generate", "goes_on": True, "passed": False, "count": 2, **clarified}
        done: dict[str, dict[str, Any]] = {}
        lines = []
        while not (now := plan(catalog.definition("script", "2", {}), {}, done)).finished:
            lines.append([[one.key for one in line] for line in now.lines])
            done |= {one.key: facts for line in now.lines for one in line}
        return lines

    def test_it_writes_checks_and_rewrites_at_most_twice(self) -> None:
        assert self.lines() == [
            [["load_context", "recognize_intent", "clarify"]],
            [["fetch_profile"], ["fetch_product"]],
            [["write", "check_quality"]],
            [["improve#1/rewrite", "improve#1/check_quality"]],
            [["improve#2/rewrite", "improve#2/check_quality", "remember_turn"]],
        ]

    @pytest.mark.parametrize("intent", ["modify", "continue"])
    def test_a_request_about_an_earlier_script_finds_it_first(self, intent: str) -> None:
        lines = self.lines(intent=intent)
        assert lines[1:4] == [
            [["base#1/clarify"]],
            [["fetch_profile"], ["fetch_product"]],
            [[f"{intent}#1/write", "check_quality"]],
        ]

    def test_a_batch_fans_out(self) -> None:
        assert self.lines(intent="batch")[1:] == [
            [["batch#1/fetch_profile", "batch#1/batch_items"]],
            [["batch#1/item[0]"], ["batch#1/item[1]"]],
            [["batch#1/answer", "remember_turn"]],
        ]

    @pytest.mark.parametrize("intent", ["ask", "chat"])
    def test_talk_is_answered(self, intent: str) -> None:
        assert self.lines(intent=intent)[1:] == [[["answer", "remember_turn"]]]

    def test_a_question_that_nobody_answered_ends_the_run(self) -> None:
        assert self.lines(intent="modify", goes_on=False)[1:] == [[["remember_turn"]]]

    def test_what_changed_is_told_part_by_part(self) -> None:
        before = [{"kind": kind, "text": text} for kind, text in (("a", "1"), ("b", "2"), ("c", "3"))]
        after = [{"kind": kind, "text": text} for kind, text in (("a", "1"), ("b", "two"), ("d", "4"), ("c", "3"))]
        assert diff(before, after) == [
            {"kind": "b", "before": "2", "after": "two"},
            {"kind": "d", "before": None, "after": "4"},
        ]
        assert diff(before, before[:1]) == [
            {"kind": "b", "before": "2", "after": None},
            {"kind": "c", "before": "3", "after": None},
        ]

    def test_the_documents_own_request_is_accepted(self) -> None:
        wish = {"query": "帮我写一段618美妆直播开场话术，活泼一点", "influencer_name": "小雅", "category": "美妆"}
        assert SCRIPT.accept(wish).input == wish
        assert SCRIPT.accept({"query": " hi ", "product": {"name": "Serum", "price": 9}}).input["query"] == "hi"

    @pytest.mark.parametrize(
        ("given", "fields"),
        [
            ({}, ["input.query"]),
            ({"query": "  "}, ["input.query"]),
            ({"query": "x" * 4001}, ["input.query"]),
            ({"query": 3}, ["input.query"]),
            ({"querry": "x"}, ["input.query", "input.querry"]),
            ({"query": "x", "category": ""}, ["input.category"]),
            ({"query": "x", "language": "fr"}, ["input.language"]),
            ({"query": "x", "length_seconds": 1}, ["input.length_seconds"]),
            ({"query": "x", "product": 3}, ["input.product"]),
        ],
    )
    def test_a_wrong_field_is_named(self, given: Any, fields: list[str]) -> None:
        assert list(dict.fromkeys(wrong_fields(given, SCRIPT))) == fields

    def test_a_misspelt_field_is_told_the_right_one(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            SCRIPT.accept({"query": "x", "influencer": "小雅"})
        assert refused.value.errors == [
            {"field": "input.influencer", "message": "unknown field, did you mean 'influencer_name'?"}
        ]

    @pytest.mark.parametrize("rewrites", [0, 2])
    def test_it_answers_the_newest_script_with_its_check_and_sources(self, rewrites: int) -> None:
        outputs: dict[str, Any] = {
            "recognize_intent": {"intent": "generate", "language": "zh"},
            "fetch_profile": {"name": "小雅", "known": True},
            "fetch_product": {"name": None, "known": False},
            "write": {"script": "first", "parts": ["first"], "writer": "model"},
            "check_quality": {"passed": not rewrites, "findings": [], "score": 1.0},
        }
        for number in range(1, rewrites + 1):
            outputs[f"improve#{number}/rewrite"] = {"script": f"try {number}", "parts": [], "writer": "rules"}
            outputs[f"improve#{number}/check_quality"] = {"passed": True, "findings": [], "score": 0.9}
        steps = [
            StepResult(key, f"script.{key.rpartition('/')[2]}", version, {}) for version, key in enumerate(outputs, 1)
        ]
        assert SCRIPT.output
        told = SCRIPT.output(Results({}, steps, 0, read=outputs.__getitem__))
        assert {name: value for name, value in told.items() if value is not None} == {
            "script": "try 2" if rewrites else "first",
            "parts": [] if rewrites else ["first"],
            "writer": "rules" if rewrites else "model",
            "language": "zh",
            "intent": "generate",
            "quality": {"passed": True, "findings": [], "score": 0.9 if rewrites else 1.0},
            "rewrites": rewrites,
            "sources": {"creator": {"name": "小雅", "known": True}, "product": {"name": None, "known": False}},
        }
