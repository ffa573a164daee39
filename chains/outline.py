"""What a run looks like as a list of steps, the finished ones and those to come: for people who watch a run.

Only what can be known is told: the steps behind a branch that is not decided yet, the items of an each whose size is
not known yet and the further rounds of a repeat are left out until they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from chains.parts import Branch, Each, FactsView, Gate, Parallel, Part, Repeat, Sequence, Step, children
from chains.plan import Facts, PlanError, chosen, ends, facts_of_input, join_items, planned_step, size

Status: TypeAlias = Literal["done", "planned", "skipped"]
Answer = TypeVar("Answer")


class OutlinedStep(NamedTuple):
    """A step of a run. planned: its turn will come; skipped: it stands in the definition, and this run goes past it."""

    key: str
    node: str
    status: Status


def outline(body: Part, input_facts: FactsView, done: Mapping[str, FactsView]) -> list[OutlinedStep]:
    """All steps that can be known, in the order of the definition. Never raises: a failing condition is not decided."""
    drawing = _Drawing(done)
    drawing.part(body, "", facts_of_input(input_facts))
    return drawing.steps


class _Drawing:
    """One pass over a definition. Each method tells whether all of its part is done: what follows is decided then."""

    def __init__(self, done: Mapping[str, FactsView]) -> None:
        self.done = done
        self.steps: list[OutlinedStep] = []

    def part(self, part: Part, prefix: str, facts: Facts, decided: bool = True) -> bool:
        match part:
            case Step() | Gate():
                return self.step(part, prefix + part.name, part.name, facts)
            case Sequence():
                for child in part.parts:
                    decided = self.part(child, prefix, facts, decided) and decided
                return decided
            case Branch():
                return self.branch(part, prefix, facts, decided)
            case Parallel():
                ways = [(child, facts.new_child()) for child in part.parts]
                ended = [self.part(child, prefix, inner, decided) for child, inner in ways]
                for _, inner in ways:
                    facts.update(inner.maps[0])
                return all(ended)
            case Each():
                return self.each(part, prefix, facts, decided)
            case _:
                return self.repeat(part, prefix, facts, decided)

    def step(self, part: Step | Gate, key: str, name: str, facts: Facts) -> bool:
        found = self.done.get(key)
        if found is not None:
            facts[name] = found
        self.steps.append(OutlinedStep(key, planned_step(key, part).node, "planned" if found is None else "done"))
        return found is not None

    def branch(self, part: Branch, prefix: str, facts: Facts, decided: bool) -> bool:
        way = _known(lambda: (chosen(part, prefix, facts),)) if decided else None
        if way is None:
            return False
        ended = True
        for child in children(part):
            if child is way[0]:
                ended = self.part(child, prefix, facts)
            else:
                self.skip(child, prefix)
        return ended

    def each(self, part: Each, prefix: str, facts: Facts, decided: bool) -> bool:
        number = _known(lambda: size(part, prefix, facts)) if decided else None
        if number is None:
            return False
        items = [facts.new_child() for _ in range(number)]
        ended = [self.item(part, f"{prefix}{part.label}[{index}]", inner) for index, inner in enumerate(items)]
        join_items(part, facts, items)
        return all(ended)

    def item(self, part: Each, place: str, facts: Facts) -> bool:
        if part.plain is not None:
            return self.step(part.plain, place, part.label, facts)
        return self.part(part.part, place + "/", facts)

    def repeat(self, part: Repeat, prefix: str, facts: Facts, decided: bool) -> bool:
        for number in range(1, part.at_most + 1):
            place = f"{prefix}{part.label}#{number}"
            over = _known(lambda place=place: ends(part, place, facts)) if decided else None  # type: ignore[misc]
            if over is None:
                return False
            if over:
                if number == 1:
                    self.skip(part.part, place + "/")
                return True
            decided = self.part(part.part, place + "/", facts)
        return decided

    def skip(self, part: Part, prefix: str) -> None:
        """Tell of the steps of a part that this run goes past, but for those whose number nobody knows."""
        if isinstance(part, Step | Gate):
            key = prefix + part.name
            self.steps.append(OutlinedStep(key, planned_step(key, part).node, "skipped"))
        elif not isinstance(part, Each | Repeat):
            for child in children(part):
                self.skip(child, prefix)


def _known(decide: Callable[[], Answer]) -> Answer | None:
    try:
        return decide()
    except PlanError:
        return None
