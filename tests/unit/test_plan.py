"""What plan answers, by example: lines, decisions, loops, fan-outs, gates, and conditions that fail."""

from __future__ import annotations

import timeit
from collections.abc import Mapping
from typing import Any

import pytest

from chains.definition import Part, branch, each, gate, parallel, repeat, sequence, step, when
from chains.plan import MAX_ITEMS, MAX_LINE, Plan, PlanError, PlannedStep, find, plan, uncovered


def keys(planned: Plan) -> list[list[str]]:
    return [[one.key for one in line] for line in planned.lines]


def next_lines(body: Part, done: Mapping[str, Mapping[str, Any]] | None = None, **input_facts: Any) -> list[list[str]]:
    return keys(plan(body, input_facts, done or {}))


def passed(facts: Mapping[str, Any]) -> bool:
    return bool(facts["check"]["passed"])


LOOP = sequence(
    step("s.write"),
    step("s.check", facts=("passed",)),
    repeat("improve", step("s.rewrite"), step("s.check", facts=("passed",)), until=passed, at_most=2),
    step("s.remember"),
)


class TestLines:
    def test_a_line_holds_at_most_so_many_steps(self) -> None:
        body = sequence(*(step("n", str(number)) for number in range(MAX_LINE + 2)))
        assert next_lines(body) == [[str(number) for number in range(MAX_LINE)]]

    def test_a_line_goes_on_after_what_is_done(self) -> None:
        body = sequence(step("n", "a"), step("n", "b"), step("n", "c"))
        assert next_lines(body, {"a": {}}) == [["b", "c"]]

    def test_a_step_in_the_middle_that_is_done_is_never_planned_again(self) -> None:
        """A version moved by the doctor may have put a new step before finished ones."""
        body = sequence(step("n", "a"), step("n", "b"), step("n", "c"))
        assert next_lines(body, {"b": {}}) == [["a", "c"]]

    def test_everything_done_is_finished(self) -> None:
        assert plan(step("n.only"), {}, {"only": {}}) == Plan((), True)

    def test_a_planned_step_carries_what_the_definition_says(self) -> None:
        body = step("n.a", facts=("x",), quick=True)
        assert plan(body, {}, {}).lines == ((PlannedStep("a", "n.a", ("x",), None, True),),)

    def test_a_line_ends_before_a_parallel_and_each_of_its_ways_is_one(self) -> None:
        body = sequence(step("n.a"), parallel(sequence(step("n.b"), step("n.c")), step("n.d")), step("n.e"))
        assert next_lines(body) == [["a"]]
        assert next_lines(body, {"a": {}}) == [["b", "c"], ["d"]]
        assert next_lines(body, {"a": {}, "b": {}, "c": {}}) == [["d"]]
        assert next_lines(body, {"a": {}, "b": {}, "c": {}, "d": {}}) == [["e"]]

    def test_a_thousand_steps_are_planned_in_about_a_millisecond(self) -> None:
        body = sequence(*(step("n", str(number)) for number in range(1000)))
        done: dict[str, dict[str, Any]] = {str(number): {} for number in range(999)}
        assert next_lines(body, done) == [["999"]]
        best_seconds = min(timeit.repeat(lambda: plan(body, {}, done), number=1, repeat=50))
        assert best_seconds < 0.005, "0.4 ms on the machine that this was written on"


class TestDecisions:
    def test_a_branch_waits_for_what_it_decides_on_and_the_line_goes_on_after_it(self) -> None:
        body = sequence(
            step("n.a", facts=("x",)),
            branch(
                when(lambda facts: facts["a"]["x"] > 1, step("n.many")),
                when(lambda facts: facts["a"]["x"] > 0, step("n.one")),
                otherwise=step("n.none"),
            ),
            step("n.end"),
        )
        assert next_lines(body) == [["a"]]
        assert next_lines(body, {"a": {"x": 2}}) == [["many", "end"]]
        assert next_lines(body, {"a": {"x": 1}}) == [["one", "end"]]
        assert next_lines(body, {"a": {"x": 0}}) == [["none", "end"]]

    def test_a_branch_may_take_no_way(self) -> None:
        body = sequence(branch(when(lambda facts: facts["input"]["loud"], step("n.shout"))), step("n.end"))
        assert next_lines(body, loud=False) == [["end"]]
        assert next_lines(body, loud=True) == [["shout", "end"]]

    def test_conditions_do_not_see_a_way_beside_them(self) -> None:
        decided = branch(when(lambda facts: "b" in facts, step("n.leaked")), otherwise=step("n.c"))
        body = parallel(step("n.b"), sequence(step("n.a"), decided))
        assert next_lines(body, {"a": {}, "b": {}}) == [["c"]]

    def test_conditions_see_both_ways_after_the_join(self) -> None:
        decided = branch(when(lambda facts: facts["a"]["x"] < facts["b"]["x"], step("n.c")))
        body = sequence(parallel(step("n.a"), step("n.b")), decided)
        assert next_lines(body, {"a": {"x": 1}, "b": {"x": 2}}) == [["c"]]

    def test_facts_are_read_only(self) -> None:
        def greedy(facts: Any) -> bool:
            facts["input"]["x"] = 1
            return True

        with pytest.raises(PlanError, match="does not support item assignment"):
            plan(branch(when(greedy, step("n.a"))), {}, {})


class TestRepeat:
    def test_no_round_where_the_condition_holds_before_the_first(self) -> None:
        assert next_lines(LOOP, {"write": {}, "check": {"passed": True}}) == [["remember"]]

    def test_the_newest_facts_of_a_name_decide(self) -> None:
        done: dict[str, dict[str, Any]] = {"write": {}, "check": {"passed": False}}
        assert next_lines(LOOP, done) == [["improve#1/rewrite", "improve#1/check"]]
        done |= {"improve#1/rewrite": {}, "improve#1/check": {"passed": True}}
        assert next_lines(LOOP, done) == [["remember"]]

    def test_no_more_rounds_than_allowed_and_the_last_one_is_followed_straight_on(self) -> None:
        done: dict[str, dict[str, Any]] = {"write": {}, "check": {"passed": False}}
        done |= {"improve#1/rewrite": {}, "improve#1/check": {"passed": False}}
        assert next_lines(LOOP, done) == [["improve#2/rewrite", "improve#2/check", "remember"]]
        done |= {"improve#2/rewrite": {}, "improve#2/check": {"passed": False}}
        assert next_lines(LOOP, done) == [["remember"]]


class TestEach:
    BODY = sequence(
        each("map", step("n.fetch", "fetch", facts=("n",)), step("n.read"), over=lambda facts: facts["input"]["of"]),
        branch(when(lambda facts: sum(one["n"] for one in facts["fetch"]) > 2, step("n.many"))),
        step("n.end"),
    )

    def test_every_item_is_a_line_of_its_own(self) -> None:
        assert next_lines(self.BODY, of="xy") == [
            ["map[0]/fetch", "map[0]/read"],
            ["map[1]/fetch", "map[1]/read"],
        ]

    def test_what_follows_waits_for_all_items_and_sees_them_by_index(self) -> None:
        done: dict[str, dict[str, Any]] = {"map[1]/read": {}, "map[0]/fetch": {"n": 2}, "map[1]/fetch": {"n": 1}}
        assert next_lines(self.BODY, done, of=2) == [["map[0]/read"]]
        assert next_lines(self.BODY, done | {"map[0]/read": {}}, of=2) == [["many", "end"]]

    def test_no_items_are_skipped_at_once(self) -> None:
        assert next_lines(self.BODY, of=0) == [["end"]]

    def test_a_single_step_without_a_key_is_named_after_the_label(self) -> None:
        body = sequence(each("branch", step("n.work"), over=lambda facts: 2), step("n.join"))
        assert next_lines(body) == [["branch[0]"], ["branch[1]"]]
        assert next_lines(body, {"branch[0]": {}, "branch[1]": {}}) == [["join"]]

    def test_a_condition_within_an_item_sees_that_item(self) -> None:
        decided = branch(when(lambda facts: facts["a"]["x"], step("n.yes")), otherwise=step("n.no"))
        body = each("map", step("n.a", "a", facts=("x",)), decided, over=lambda facts: 2)
        assert next_lines(body, {"map[0]/a": {"x": True}, "map[1]/a": {"x": False}}) == [["map[0]/yes"], ["map[1]/no"]]

    @pytest.mark.parametrize("answer", [None, "", 1.5, True, -1, MAX_ITEMS + 1])
    def test_a_size_that_is_none_is_refused(self, answer: Any) -> None:
        body = each("map", step("n.a"), over=lambda facts: answer)
        if answer == "":
            assert plan(body, {}, {}).finished
        else:
            with pytest.raises(PlanError, match=r"over= of 'map' gave"):
                plan(body, {}, {})


class TestGates:
    ASK = gate("approve", lambda facts: f"Spend {facts['price']['total']}?", facts=("approved",), timeout_seconds=60)

    def test_a_gate_is_a_line_of_its_own_and_asks_in_words(self) -> None:
        body = sequence(step("n.price", facts=("total",)), self.ASK, step("n.buy"))
        assert next_lines(body) == [["price"]]
        ((asked,),) = plan(body, {}, {"price": {"total": 7}}).lines
        assert (asked.key, asked.node, asked.facts) == ("approve", "gate", ("approved",))
        assert asked.gate and (asked.gate.question, asked.gate.timeout_seconds) == ("Spend 7?", 60)

    def test_the_answer_is_there_for_conditions_after_it(self) -> None:
        body = sequence(
            gate("approve", "Fine?", facts=("approved",)),
            branch(when(lambda facts: facts["approve"]["approved"], step("n.buy")), otherwise=step("n.drop")),
        )
        assert next_lines(body, {"approve": {"approved": True}}) == [["buy"]]
        assert next_lines(body, {"approve": {"approved": False}}) == [["drop"]]

    def test_a_gate_in_a_way_does_not_hold_up_the_others(self) -> None:
        body = sequence(parallel(gate("a", "?"), sequence(step("n.b"), step("n.c"))), step("n.end"))
        assert next_lines(body) == [["a"], ["b", "c"]]
        assert next_lines(body, {"b": {}, "c": {}}) == [["a"]]
        assert next_lines(body, {"a": {}, "b": {}, "c": {}}) == [["end"]]

    def test_a_gate_in_a_round_of_an_item_has_its_path_as_key(self) -> None:
        body = each("m", repeat("r", gate("ok", "?"), until=lambda facts: False, at_most=2), over=lambda facts: 1)
        assert next_lines(body, {"m[0]/r#1/ok": {}}) == [["m[0]/r#2/ok"]]


class TestFailingConditions:
    @pytest.mark.parametrize(
        ("body", "place"),
        [
            (branch(when(lambda facts: facts["a"], step("n.b"))), "condition 1 of the branch to 'b' failed: KeyError"),
            (
                repeat("r", step("n.b"), until=lambda facts: 1 / 0 > 1, at_most=1),
                "until= of 'r#1' failed: ZeroDiv",
            ),
            (each("m", step("n.b"), over=lambda facts: facts["a"]), "over= of 'm' failed: KeyError"),
            (gate("g", lambda facts: facts["a"]), "question of 'g' failed: KeyError"),
        ],
    )
    def test_the_error_names_the_place(self, body: Part, place: str) -> None:
        with pytest.raises(PlanError, match=place) as failed:
            plan(body, {}, {})
        assert failed.value.code == "condition_failed"

    def test_an_unknown_name_tells_which_are_known(self) -> None:
        body = sequence(step("n.a"), branch(when(lambda facts: facts["b"], step("n.c"))))
        with pytest.raises(PlanError, match=r"known here: a, input"):
            plan(body, {}, {"a": {}})

    def test_a_condition_may_ask_for_what_is_missing(self) -> None:
        assert next_lines(branch(when(lambda facts: facts.get("b") is None, step("n.c")))) == [["c"]]


class TestUncovered:
    BODY = parallel(sequence(step("n.a"), step("n.b"), step("n.c")), step("n.d"))

    def test_a_line_whose_head_is_covered_is_open_already(self) -> None:
        now = plan(self.BODY, {}, {"a": {}})
        assert [[one.key for one in line] for line in uncovered(now, {"b", "c"})] == [["d"]]

    def test_nothing_covered_opens_all(self) -> None:
        now = plan(self.BODY, {}, {})
        assert uncovered(now, ()) == now.lines

    def test_a_line_stops_before_a_step_that_is_covered(self) -> None:
        """A new version may have put a step before one whose segment is open."""
        now = plan(self.BODY, {}, {})
        assert [[one.key for one in line] for line in uncovered(now, ["c", "d"])] == [["a", "b"]]


class TestFind:
    @pytest.mark.parametrize("key", ["write", "improve#1/rewrite", "improve#17/check"])
    def test_a_step_is_found_by_its_key_in_any_round(self, key: str) -> None:
        found = find(LOOP, key)
        assert found and found.key == key
        assert found.node == f"s.{key.rpartition('/')[2]}"

    def test_a_gate_is_found_as_it_was_written(self) -> None:
        found = find(TestGates.ASK, "approve")
        assert found and found.gate is TestGates.ASK

    def test_a_chain_may_be_a_single_gate(self) -> None:
        body = gate("ok", "Fine?", timeout_seconds=1, on_timeout={"approved": False})
        found = find(body, "ok")
        assert found and found.gate is body

    @pytest.mark.parametrize("key", ["", "rewrite", "improve/rewrite", "improve#x/rewrite", "check#1"])
    def test_no_step_has_another_key(self, key: str) -> None:
        assert find(LOOP, key) is None
