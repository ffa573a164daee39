"""Writing a chain: what is refused and how to mend it, what stands under which name, what an input may be."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from chains.definition import (
    Chain,
    DefinitionError,
    Gate,
    Results,
    Step,
    StepResult,
    branch,
    each,
    gate,
    parallel,
    repeat,
    sequence,
    step,
    when,
)
from chains.parts import Sequence, children, places
from chains.paths import by_name
from errors import InvalidInput


def yes(facts: Any) -> bool:
    return True


def two(facts: Any) -> int:
    return 2


class TestParts:
    def test_a_step_is_named_after_its_node(self) -> None:
        assert step("shop.price").name == step("price").name == "price"
        assert step("shop.price", "total").name == "total"

    def test_sequences_within_are_spliced_in(self) -> None:
        body = sequence(step("a"), sequence(step("b"), sequence(step("c"))))
        assert isinstance(body, Sequence)
        assert [one.name for one in body.parts if isinstance(one, Step)] == ["a", "b", "c"]
        assert sequence(step("a")) == Step("a")

    def test_parts_are_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            step("a").node = "b"  # type: ignore[misc]

    def test_places_tell_every_step_in_reading_order(self) -> None:
        body = sequence(
            step("a"),
            branch(when(yes, step("b")), otherwise=gate("c", "?")),
            parallel(each("d", step("x"), over=two), each("e", step("f", "g"), over=two)),
            repeat("h", step("i"), until=yes, at_most=1),
        )
        assert [place.pattern for place in places(body)] == ["a", "b", "c", "d[]", "e[]/g", "h#/i"]
        assert [place.name for place in places(body)] == ["a", "b", "c", "d", "g", "i"]
        assert children(step("a")) == ()

    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: step(""), "the node of step() is ''"),
            (lambda: step("a b"), "the node of step() is 'a b'"),
            (lambda: step("a", "x/y"), "key= of step('a') is 'x/y'"),
            (lambda: step("a", ""), "key= of step('a') is ''"),
            (lambda: step("a", "input"), "which is the name of the run's input"),
            (lambda: step("a", facts="passed"), "write facts=('passed',)"),
            (lambda: step("a", facts=(1,)), "give names, as strings"),  # type: ignore[arg-type]
            (lambda: sequence(), "sequence() is empty"),
            (lambda: sequence("a"), "'a' is no part of a chain: use step(...)"),  # type: ignore[arg-type]
            (lambda: sequence(when(yes, step("a"))), "put it into branch(...)"),  # type: ignore[arg-type]
            (lambda: parallel(), "parallel() is empty"),
            (lambda: when(yes), "sequence() is empty"),
            (lambda: when(True, step("a")), "the condition of when() is True"),  # type: ignore[arg-type]
            (lambda: branch(), "branch() takes one or more when("),
            (lambda: branch(step("a")), "branch() takes one or more when("),  # type: ignore[arg-type]
            (lambda: each("x[", step("a"), over=two), "the label of each() is 'x['"),
            (lambda: each("x", step("a"), over=2), "over= of each('x') is 2"),  # type: ignore[arg-type]
            (lambda: each("x", over=two), "sequence() is empty"),
            (lambda: repeat("x#1", step("a"), until=yes, at_most=1), "the label of repeat() is 'x#1'"),
            (lambda: repeat("x", step("a"), until=yes, at_most=0), "at_most= of repeat('x') is 0"),
            (lambda: repeat("x", step("a"), until=yes, at_most=True), "at_most= of repeat('x') is True"),
            (lambda: repeat("x", step("a"), until=yes, at_most=1.5), "at_most= of"),  # type: ignore[arg-type]
            (lambda: repeat("x", step("a"), until=None, at_most=1), "until= of repeat('x')"),  # type: ignore[arg-type]
            (lambda: gate("a", ""), "gate('a') has no question"),
            (lambda: gate("", "?"), "the key of gate() is ''"),
            (lambda: gate("a", "?", timeout_seconds=0), "give a positive number of seconds"),
            (lambda: gate("a", "?", on_timeout="pass"), "on_timeout= of gate('a') is 'pass'"),  # type: ignore[arg-type]
            (lambda: gate("a", "?", on_timeout={"ok": True}), "never times out: give it timeout_seconds="),
            (lambda: gate("a", "?", facts="ok"), "write facts=('ok',)"),
        ],
    )
    def test_a_wrong_part_says_how_to_mend_it(self, make: Callable[[], Any], said: str) -> None:
        with pytest.raises(DefinitionError, match=re.escape(said)):
            make()

    def test_a_gate_keeps_what_it_was_given(self) -> None:
        asked = gate("a", "?", timeout_seconds=5, on_timeout={"ok": True}, facts=["ok"])
        assert asked == Gate("a", "?", 5, {"ok": True}, ("ok",))
        assert asked.name == "a"


class TestChain:
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: Chain("", "1", step("a")), "the name of a chain is ''"),
            (lambda: Chain("x", "", step("a")), "the version of a chain is ''"),
            (lambda: Chain("x", 1, step("a")), "the version of a chain is 1"),  # type: ignore[arg-type]
            (lambda: Chain("x", "1"), "chain 'x' needs a body or a build function"),
            (lambda: Chain("x", "1", step("a"), build=lambda facts: step("a")), "and not both"),
            (lambda: Chain("x", "1", "a"), "'a' is no part of a chain"),  # type: ignore[arg-type]
            (lambda: Chain("x", "1", step("a"), input_facts="n"), "write input_facts=('n',)"),  # type: ignore[arg-type]
            (
                lambda: Chain("x", "1", sequence(step("s.a"), step("t.a"))),
                "the step key 'a' twice: give one of them key=",
            ),
            (
                lambda: Chain("x", "1", branch(when(yes, step("a")), otherwise=step("b", "a"))),
                "has the step key 'a' twice",
            ),
            (lambda: Chain("x", "1", step("input")), "which is the name of the run's input"),
            (
                lambda: Chain("x", "1", sequence(step("a"), each("m", step("n", "a"), over=two))),
                "the name 'a' both within an each and outside of it (a, m[]/a)",
            ),
            (
                lambda: Chain("x", "1", parallel(step("a"), repeat("r", step("a"), until=yes, at_most=1))),
                "the name 'a' in two ways of one parallel()",
            ),
            (
                lambda: Chain(
                    "x",
                    "1",
                    sequence(
                        repeat("r", step("a"), until=yes, at_most=1), each("r", step("b", "b"), step("c"), over=two)
                    ),
                ),
                "has the label 'r' twice",
            ),
        ],
    )
    def test_a_wrong_chain_says_how_to_mend_it(self, make: Callable[[], Any], said: str) -> None:
        with pytest.raises(DefinitionError, match=re.escape(said)):
            make()

    def test_input_facts_are_fields_of_the_schema(self) -> None:
        class Input(BaseModel):
            total: int

        for name, mend in (("xyz", "there are: total"), ("totl", r"did you mean 'total'\?")):
            with pytest.raises(DefinitionError, match=rf"names '{name}', which there is not: {mend}"):
                Chain("x", "1", step("a"), input_schema=Input, input_facts=(name,))

    def test_the_same_name_may_stand_before_and_in_a_loop(self) -> None:
        Chain("x", "1", sequence(step("check"), repeat("r", step("check"), until=yes, at_most=1)))

    def test_a_body_that_was_built_is_checked_too(self) -> None:
        chain = Chain("x", "1", build=lambda facts: sequence(*(step("a") for _ in range(facts["n"]))))
        assert chain.body_for({"n": 1}) == step("a")
        with pytest.raises(DefinitionError, match="has the step key 'a' twice"):
            chain.body_for({"n": 2})

    def test_a_body_that_was_written_is_the_body_of_every_run(self) -> None:
        chain = Chain("x", "1", step("a"))
        assert chain.body_for({"n": 1}) is chain.body


class Order(BaseModel):
    items: list[int] = Field(min_length=1)
    note: str = "none"
    size: dict[str, int] | None = None

    @field_validator("note")
    @classmethod
    def polite(cls, note: str) -> str:
        if note == "rude":
            raise ValueError("be polite")
        return note


class TestInput:
    CHAIN = Chain("x", "1", step("a"), input_schema=Order, input_facts=("note",))

    def test_without_a_schema_any_object_is_accepted(self) -> None:
        accepted = Chain("x", "1", step("a"), input_facts=("n", "absent")).accept({"n": 1, "m": 2})
        assert (accepted.input, accepted.facts) == ({"n": 1, "m": 2}, {"n": 1})

    def test_defaults_are_facts_but_not_input(self) -> None:
        accepted = self.CHAIN.accept({"items": [1]})
        assert (accepted.input, accepted.facts) == ({"items": [1]}, {"note": "none"})

    @pytest.mark.parametrize(
        ("given", "field", "message"),
        [
            (None, "input", "must be a JSON object"),
            ({}, "input.items", "Field required"),
            ({"items": [1, "x"]}, "input.items.1", "unable to parse"),
            ({"items": [1], "note": "rude"}, "input.note", "be polite"),
            ({"items": [1], "size": {"a": "x"}}, "input.size.a", "unable to parse"),
            ({"items": [1], "size": 3}, "input.size", "valid dictionary"),
        ],
    )
    def test_a_wrong_field_is_named(self, given: Any, field: str, message: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            self.CHAIN.accept(given)
        (error,) = refused.value.errors
        assert error["field"] == field
        assert message in error["message"]
        assert not error["message"].startswith("Value error")


class TestNames:
    def test_the_last_step_of_a_name_counts(self) -> None:
        assert by_name(["check", "r#1/check", "r#2/check"]) == {"check": "r#2/check"}
        assert by_name(["r#1/check", "check"]) == {"check": "check"}

    def test_a_fan_out_is_a_list_by_index_in_whatever_order_it_ended(self) -> None:
        assert by_name(["branch[1]", "branch[0]"]) == {"branch": ["branch[0]", "branch[1]"]}
        assert by_name(["m[2]/a", "m[0]/a"]) == {"a": ["m[0]/a", None, "m[2]/a"]}

    def test_lists_of_lists_and_loops_in_items(self) -> None:
        keys = ["m[0]/n[1]/a", "m[0]/n[0]/a", "m[1]/n[0]/a", "m[1]/b", "m[0]/r#1/b", "m[0]/r#2/b"]
        assert by_name(keys) == {"a": [["m[0]/n[0]/a", "m[0]/n[1]/a"], ["m[1]/n[0]/a"]], "b": ["m[0]/r#2/b", "m[1]/b"]}

    def test_a_fan_out_in_a_loop_is_that_of_the_last_round(self) -> None:
        assert by_name(["r#1/m[0]/a", "r#1/m[1]/a", "r#2/m[0]/a"]) == {"a": ["r#2/m[0]/a"]}

    def test_a_reader_within_an_item_sees_its_own(self) -> None:
        keys = ["x", "m[0]/a", "m[1]/a", "m[0]/r#1/b"]
        assert by_name(keys, "m[0]/end") == {"x": "x", "a": "m[0]/a", "b": "m[0]/r#1/b"}
        assert by_name(keys, "m[1]/r#1/c") == {"x": "x", "a": "m[1]/a"}
        assert by_name(["branch[0]", "branch[1]"], "branch[1]") == {"branch": ["branch[0]", "branch[1]"]}

    def test_a_reader_within_an_item_sees_another_fan_out_whole(self) -> None:
        assert by_name(["m[0]/a", "m[1]/a"], "n[0]/b") == {"a": ["m[0]/a", "m[1]/a"]}

    def test_a_reader_in_nested_items_sees_the_innermost_of_its_own(self) -> None:
        assert by_name(["m[0]/n[0]/a", "m[1]/n[0]/a", "m[1]/n[1]/a"], "m[1]/n[0]/b") == {"a": "m[1]/n[0]/a"}
        assert by_name(["m[0]/n[0]/a", "m[1]/n[0]/a"], "m[1]/b") == {"a": ["m[1]/n[0]/a"]}


def test_results_give_outputs_by_name() -> None:
    keys = ["a", "m[1]/b", "m[0]/b", "r#1/a"]
    steps = [StepResult(key, "n", version, {}) for version, key in enumerate(keys, 1)]
    results = Results({}, steps, 0, read=lambda key: {"of": key})
    assert results.output("a") == {"of": "r#1/a"}
    assert results.output("b") == [{"of": "m[0]/b"}, {"of": "m[1]/b"}]
    assert results.output("nobody") is None
    assert [one.name for one in (*steps, StepResult("x[3]", "n", 5, {}))] == ["a", "b", "b", "a", "x"]
