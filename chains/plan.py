"""What runs next: `plan(definition, input facts, facts of the finished steps)`, a pure function and the heart of Baton.

Start, next node, branch, loop, fan-out, join, approval, retry, resume, rescue, fork: all of them ask this one question.
One walk over the definition finds every *line*: steps that can run now, each with the steps that follow it straight
on. A line stops before anything that must be decided on facts which are not there yet (a branch, a round of a repeat,
the size of an each), before a parallel and before a gate, at a join, and after MAX_LINE steps.

A condition sees the facts that stand before it in the definition and nothing else, never those of a branch beside it,
so that the plan does not depend on the order in which steps happened to end.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sized
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from chains.parts import Branch, Each, FactsView, Gate, Parallel, Part, Repeat, Sequence, Step, places
from chains.paths import pattern
from errors import BatonError

MAX_LINE = 8
MAX_ITEMS = 10_000

Answer = TypeVar("Answer")


class PlanError(BatonError):
    """A condition of the chain failed."""

    code = "condition_failed"


@dataclass(frozen=True)
class PlannedStep:
    """A step of this run by its key; gate is set (its question in words) where it is one, and its node is then "gate".

    facts: fields to keep beside the checkpoint; quick: it takes milliseconds.
    """

    key: str
    node: str
    facts: tuple[str, ...] = ()
    gate: Gate | None = None
    quick: bool = False


Line: TypeAlias = tuple[PlannedStep, ...]


@dataclass(frozen=True)
class Plan:
    """Every line that can run now, in the order of the definition; finished when nothing is left to run."""

    lines: tuple[Line, ...]
    finished: bool


def plan(body: Part, input_facts: FactsView, done: Mapping[str, FactsView]) -> Plan:
    """Tell what runs next. done: the facts of every finished step by key. Raises PlanError where a condition fails."""
    walk = _Walk(done)
    finished = walk.strand(body, "", facts_of_input(input_facts))
    return Plan(tuple(walk.lines), finished)


def uncovered(planned: Plan, covered: Collection[str]) -> tuple[Line, ...]:
    """The lines to open now: those whose head is not covered yet, up to the first step that is.

    covered: keys of the unfinished steps that stand in an open segment or wait.
    """
    lines = (tuple(takewhile(lambda one: one.key not in covered, line)) for line in planned.lines)
    return tuple(line for line in lines if line)


@lru_cache(maxsize=4096)
def find(body: Part, key: str) -> PlannedStep | None:
    """The step or gate that has this key (of any round, of any item), whether its turn has come or not."""
    part = _parts(body).get(pattern(key))
    return None if part is None else planned_step(key, part)


def planned_step(key: str, part: Step | Gate) -> PlannedStep:
    """The step or gate of a definition as that of a run."""
    if isinstance(part, Gate):
        return PlannedStep(key, "gate", part.facts, part)
    return PlannedStep(key, part.node, part.facts, None, part.quick)


@lru_cache(maxsize=256)
def _parts(body: Part) -> dict[str, Step | Gate]:
    return {place.pattern: place.part for place in places(body)}


# ------------------------------------------------------------------------------------------------------------ the walk

Facts: TypeAlias = ChainMap[str, Any]  # the innermost map holds what this strand found, the others what precedes it


class _Strand:
    """What runs in one straight order: the line found so far, and whether anything may still join it."""

    __slots__ = ("closed", "facts", "line")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.line: list[PlannedStep] = []
        self.closed = False

    def must_wait(self) -> bool:
        """Whether a decision has to wait for the steps of the line; if so, the line ends here."""
        self.closed = self.closed or bool(self.line)
        return self.closed


class _Walk:
    """One pass over a definition, which collects the lines."""

    def __init__(self, done: Mapping[str, FactsView]) -> None:
        self.done = done
        self.lines: list[Line] = []

    def strand(self, part: Part, prefix: str, facts: Facts) -> bool:
        """Walk a part as a strand of its own. True: all of it is done."""
        strand = _Strand(facts)
        self.part(part, prefix, strand)
        return self.end(strand)

    def end(self, strand: _Strand) -> bool:
        """Keep the line of a strand that was walked. True: all of it is done."""
        if strand.line:
            self.lines.append(tuple(strand.line))
        return not strand.must_wait()

    def part(self, part: Part, prefix: str, strand: _Strand) -> None:
        match part:
            case Step():
                self.step(part, prefix + part.name, part.name, strand)
            case Sequence():
                for child in part.parts:
                    if strand.closed:
                        return
                    self.part(child, prefix, strand)
            case Gate():
                self.gate(part, prefix, strand)
            case Branch():
                if not strand.must_wait() and (way := chosen(part, prefix, strand.facts)):
                    self.part(way, prefix, strand)
            case Parallel():
                self.parallel(part, prefix, strand)
            case Each():
                self.each(part, prefix, strand)
            case _:
                self.repeat(part, prefix, strand)

    def step(self, part: Step, key: str, name: str, strand: _Strand) -> None:
        facts = self.done.get(key)
        if facts is not None:
            strand.facts[name] = MappingProxyType(facts)
        else:
            strand.line.append(planned_step(key, part))
            strand.closed = len(strand.line) == MAX_LINE

    def gate(self, part: Gate, prefix: str, strand: _Strand) -> None:
        if strand.must_wait():
            return
        facts = self.done.get(prefix + part.key)
        if facts is not None:
            strand.facts[part.key] = MappingProxyType(facts)
        else:
            asked = replace(part, question=question(part, prefix, strand.facts))
            strand.line.append(planned_step(prefix + part.key, asked))
            strand.closed = True

    def parallel(self, part: Parallel, prefix: str, strand: _Strand) -> None:
        if strand.must_wait():
            return
        ways = [strand.facts.new_child() for _ in part.parts]
        ended = [self.strand(child, prefix, facts) for child, facts in zip(part.parts, ways, strict=True)]
        strand.closed = not all(ended)
        for facts in ways:
            strand.facts.update(facts.maps[0])

    def each(self, part: Each, prefix: str, strand: _Strand) -> None:
        if strand.must_wait():
            return
        items = [strand.facts.new_child() for _ in range(size(part, prefix, strand.facts))]
        ended = [self.item(part, f"{prefix}{part.label}[{index}]", facts) for index, facts in enumerate(items)]
        strand.closed = not all(ended)
        join_items(part, strand.facts, items)

    def item(self, part: Each, place: str, facts: Facts) -> bool:
        if part.plain is None:
            return self.strand(part.part, place + "/", facts)
        strand = _Strand(facts)
        self.step(part.plain, place, part.label, strand)
        return self.end(strand)

    def repeat(self, part: Repeat, prefix: str, strand: _Strand) -> None:
        for number in range(1, part.at_most + 1):
            place = f"{prefix}{part.label}#{number}"
            if strand.must_wait() or ends(part, place, strand.facts):
                return
            self.part(part.part, place + "/", strand)


# --------------------------------------------------------------------------------------------------------- conditions


def facts_of_input(input_facts: FactsView) -> Facts:
    """The facts that a run begins with."""
    return ChainMap({"input": MappingProxyType(input_facts)})


def chosen(part: Branch, prefix: str, facts: Facts) -> Part | None:
    """The way that a branch takes, if any."""
    for number, way in enumerate(part.ways, 1):
        first = next(places(way.part, prefix)).pattern
        if _ask(way.condition, facts, f"condition {number} of the branch to {first!r}"):
            return way.part
    return part.otherwise


def size(part: Each, prefix: str, facts: Facts) -> int:
    """How many items an each has."""
    where = f"over= of {prefix + part.label!r}"
    answer = _ask(part.over, facts, where)
    if isinstance(answer, bool) or not isinstance(answer, int | Sized):
        raise PlanError(f"{where} gave {answer!r}: it must give a number or something that has a length")
    number = answer if isinstance(answer, int) else len(answer)
    if not 0 <= number <= MAX_ITEMS:
        raise PlanError(f"{where} gave {number} items: it must be between 0 and {MAX_ITEMS}")
    return number


def join_items(part: Each, facts: Facts, items: list[Facts]) -> None:
    """Put what the items found into the facts: a tuple by index under each name, None where an item has none."""
    for name in part.names:
        facts[name] = tuple(inner.maps[0].get(name) for inner in items)


def ends(part: Repeat, place: str, facts: Facts) -> bool:
    """Whether a repeat is over before the round at this place."""
    return bool(_ask(part.until, facts, f"until= of {place!r}"))


def question(part: Gate, prefix: str, facts: Facts) -> str:
    """What a gate asks, in words."""
    if isinstance(part.question, str):
        return part.question
    return str(_ask(part.question, facts, f"question of {prefix + part.key!r}"))


def _ask(condition: Callable[[FactsView], Answer], facts: Facts, where: str) -> Answer:
    try:
        return condition(MappingProxyType(facts))
    except Exception as error:
        known = f" (known here: {', '.join(sorted(facts))})" if isinstance(error, KeyError) else ""
        raise PlanError(f"{where} failed: {type(error).__name__}: {error}{known}") from error
