"""What a person sees of a run: the steps that ended, those to come, and those that the run goes past."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chains.definition import Part, branch, each, gate, parallel, repeat, sequence, step, when
from chains.outline import outline


def told(body: Part, *done: str, facts: Mapping[str, Any] | None = None, **input_facts: Any) -> list[tuple[str, str]]:
    return [(one.key, one.status) for one in outline(body, input_facts, {key: facts or {} for key in done})]


LOOP = sequence(
    step("s.write"),
    step("s.check", facts=("passed",)),
    repeat(
        "improve",
        step("s.rewrite"),
        step("s.check", facts=("passed",)),
        until=lambda facts: facts["check"]["passed"],
        at_most=2,
    ),
    step("s.remember"),
)


def test_an_undecided_loop_is_left_out_and_what_follows_is_told() -> None:
    assert told(LOOP, "write") == [("write", "done"), ("check", "planned"), ("remember", "planned")]


def test_a_loop_without_a_round_is_skipped() -> None:
    assert told(LOOP, "write", "check", facts={"passed": True})[2:] == [
        ("improve#1/rewrite", "skipped"),
        ("improve#1/check", "skipped"),
        ("remember", "planned"),
    ]


def test_only_the_round_that_has_begun_is_told() -> None:
    assert told(LOOP, "write", "check", "improve#1/rewrite", facts={"passed": False})[2:] == [
        ("improve#1/rewrite", "done"),
        ("improve#1/check", "planned"),
        ("remember", "planned"),
    ]


def test_a_branch_is_told_once_it_is_decided() -> None:
    big = when(lambda facts: facts["price"]["total"] > 100, gate("approve", "Fine?"))
    bulk = repeat("again", step("n.more"), until=lambda facts: True, at_most=2)
    body = sequence(step("n.price"), branch(big, otherwise=sequence(step("n.thank"), bulk)), step("n.ship"))
    assert told(body) == [("price", "planned"), ("ship", "planned")]
    assert told(body, "price", facts={"total": 1}) == [
        ("price", "done"),
        ("approve", "skipped"),
        ("thank", "planned"),
        ("ship", "planned"),
    ]
    assert told(body, "price", facts={"total": 101}) == [
        ("price", "done"),
        ("approve", "planned"),
        ("thank", "skipped"),
        ("ship", "planned"),
    ]


def test_a_branch_in_a_way_that_is_skipped_is_skipped_whole() -> None:
    inner = branch(when(lambda facts: True, step("n.a")), otherwise=step("n.b"))
    assert told(branch(when(lambda facts: False, inner))) == [("a", "skipped"), ("b", "skipped")]


def test_a_fan_out_is_told_once_its_size_is_known() -> None:
    body = sequence(
        step("n.count"),
        each("plain", step("n.work"), over=lambda facts: facts["count"]["n"]),
        each("map", step("n.fetch"), step("n.read"), over=lambda facts: facts["input"]["of"]),
    )
    assert told(body, of=1) == [("count", "planned")]
    assert told(body, "count", "plain[0]", facts={"n": 2}, of=1) == [
        ("count", "done"),
        ("plain[0]", "done"),
        ("plain[1]", "planned"),
    ]
    assert told(body, "count", "plain[0]", facts={"n": 1}, of=1)[2:] == [
        ("map[0]/fetch", "planned"),
        ("map[0]/read", "planned"),
    ]


def test_conditions_within_and_after_a_parallel_see_what_plan_lets_them_see() -> None:
    def seen(*names: str) -> Any:
        return lambda facts: set(facts) == {"input", *names}

    body = sequence(
        parallel(step("n.a"), sequence(step("n.b"), branch(when(seen("b"), step("n.c"))))),
        branch(when(seen("a", "b", "c"), step("n.d"))),
    )
    assert told(body, "a", "b") == [("a", "done"), ("b", "done"), ("c", "planned")]
    assert told(body, "a", "b", "c")[-1] == ("d", "planned")


def test_a_condition_that_fails_is_not_decided() -> None:
    body = sequence(branch(when(lambda facts: facts["nobody"], step("n.a"))), step("n.b"))
    assert told(body) == [("b", "planned")]
