"""Any definition, any facts, any order of commits, crashes anywhere: every path runs once, in order, and it ends.

The reference is an interpreter that knows no lines and no plan: it runs a definition in one go and notes, for every
step, which steps must have ended before it. The simulation then drives `plan` and `uncovered` as the engine does, with
segments that lose their worker, and holds every plan against those notes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.definition import Chain, branch, each, gate, parallel, repeat, sequence, step, when
from chains.outline import outline
from chains.parts import Branch, Each, Gate, Parallel, Part, Repeat, Sequence, Step, children
from chains.paths import by_name
from chains.plan import MAX_LINE, Line, find, plan, uncovered

Found: TypeAlias = dict[str, Any]
Keys: TypeAlias = frozenset[str]

EVENTS = ("commit", "commit", "commit", "lose", "lose all", "advance")
KINDS = ("step", "gate", "sequence", "sequence", "branch", "parallel", "each", "repeat")


# ------------------------------------------------------------------------------------- any definition, and any facts


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((name, plain(one)) for name, one in value.items())
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def draw_of(salt: int) -> Callable[[Mapping[str, Any]], int]:
    """A number made of everything that a condition sees: one fact too many or too few changes it."""
    return lambda facts: zlib.crc32(f"{salt} {plain(facts)}".encode())


@dataclass
class Author:
    """Writes a definition as hypothesis draws it. reusable: names that a round of a repeat may use again."""

    draw: Callable[..., Any]
    count: int = 0

    def fresh(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def number(self) -> Callable[[Mapping[str, Any]], int]:
        return draw_of(self.draw(st.integers(0, 7)))

    def part(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        kind = self.draw(st.sampled_from(KINDS)) if depth else "step"
        return getattr(self, kind)(depth - 1, reusable, known)  # type: ignore[no-any-return]

    def step(self, _: int, reusable: list[str], known: list[str]) -> Part:
        again = reusable and self.draw(st.booleans())
        name = reusable.pop() if again else self.fresh()
        known.append(name)
        return step(f"node.{name}", name, facts=("n",))

    def gate(self, _: int, reusable: list[str], known: list[str]) -> Part:
        return gate(self.fresh(), self.draw(st.sampled_from(["Why?", lambda facts: str(len(facts))])))

    def sequence(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        longest = 3 if depth else 2 * MAX_LINE
        return sequence(*(self.part(depth, reusable, known) for _ in range(self.draw(st.integers(1, longest)))))

    def branch(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        def way() -> Callable[[Mapping[str, Any]], bool]:
            number = self.number()
            return lambda facts: number(facts) % 2 == 0

        ways = [when(way(), self.part(depth, reusable, known)) for _ in range(self.draw(st.integers(1, 2)))]
        return branch(*ways, otherwise=self.part(depth, reusable, known) if self.draw(st.booleans()) else None)

    def parallel(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        return parallel(*(self.part(depth, [], []) for _ in range(self.draw(st.integers(1, 3)))))

    def each(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        number, counted = self.number(), self.draw(st.booleans())
        part = step("node.plain") if self.draw(st.booleans()) else self.part(depth, [], [])
        return each(self.fresh(), part, over=lambda facts: number(facts) % 4 if counted else "xxx"[: number(facts) % 4])

    def repeat(self, depth: int, reusable: list[str], known: list[str]) -> Part:
        number, at_most = self.number(), self.draw(st.integers(1, 3))
        part = self.part(depth, list(known), [])
        return repeat(self.fresh(), part, until=lambda facts: number(facts) % 3 == 0, at_most=at_most)


@st.composite
def definitions(draw: Callable[..., Any]) -> Part:
    body = Author(draw).part(draw(st.integers(1, 4)), [], [])
    Chain("any", "1", body)  # every definition that is drawn is a valid one
    return body


def facts_at(key: str, seed: int) -> dict[str, Any]:
    return {"n": zlib.crc32(f"{seed} {key}".encode())}


# ------------------------------------------------------------------------------------------ the reference interpreter


def names_in(part: Part) -> set[str]:
    if isinstance(part, Each) and isinstance(part.part, Step) and part.part.key is None:
        return {part.label}
    if isinstance(part, Step | Gate):
        return {part.name}
    return set().union(*(names_in(child) for child in children(part)))


@dataclass
class Reference:
    """Runs a definition in one go. order: every step of the run, with the steps that must have ended before it."""

    seed: int
    order: dict[str, Keys] = field(default_factory=dict)

    def run(self, part: Part, at: str, seen: Found, found: Found, after: Keys) -> Keys:
        match part:
            case Step() | Gate():
                return self.one(at + part.name, part.name, found, after)
            case Sequence():
                for child in part.parts:
                    after = self.run(child, at, seen, found, after)
            case Branch():
                holds = [way.part for way in part.ways if way.condition({**seen, **found})]
                way = holds[0] if holds else part.otherwise
                return after if way is None else self.run(way, at, seen, found, after)
            case Parallel():
                inner: list[Found] = [{} for _ in part.parts]
                beside = zip(part.parts, inner, strict=True)
                ends = [self.run(way, at, {**seen, **found}, new, after) for way, new in beside]
                for new in inner:
                    found.update(new)
                return frozenset().union(*ends)
            case Each():
                return self.each(part, at, seen, found, after)
            case Repeat():
                for number in range(part.at_most):
                    if part.until({**seen, **found}):
                        break
                    after = self.run(part.part, f"{at}{part.label}#{number + 1}/", seen, found, after)
        return after

    def each(self, part: Each, at: str, seen: Found, found: Found, after: Keys) -> Keys:
        answer = part.over({**seen, **found})
        inner: list[Found] = [{} for _ in range(answer if isinstance(answer, int) else len(answer))]
        ends = after if not inner else frozenset()
        for index, new in enumerate(inner):
            if part.plain:
                ends |= self.one(f"{at}{part.label}[{index}]", part.label, new, after)
            else:
                ends |= self.run(part.part, f"{at}{part.label}[{index}]/", {**seen, **found}, new, after)
        found.update({name: [new.get(name) for new in inner] for name in names_in(part)})
        return ends

    def one(self, key: str, name: str, found: Found, after: Keys) -> Keys:
        assert key not in self.order, "a step key stands for one step"
        self.order[key] = after
        found[name] = facts_at(key, self.seed)
        return frozenset({key})


def reference(body: Part, seed: int) -> dict[str, Keys]:
    interpreter = Reference(seed)
    interpreter.run(body, "", {"input": {"seed": seed}}, {}, frozenset())
    return interpreter.order


# --------------------------------------------------------------------------------------- the engine, as a simulation


@dataclass
class Engine:
    """Open segments and committed steps, as Postgres would hold them."""

    body: Part
    seed: int
    order: dict[str, Keys]
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: list[list[str]] = field(default_factory=list)
    commits: list[str] = field(default_factory=list)
    finished: int = 0

    def advance(self) -> None:
        now = plan(self.body, {"seed": self.seed}, self.done)
        self.hold_against_the_reference(now.lines, now.finished)
        covered = [key for segment in self.open for key in segment]
        assert len(covered) == len(set(covered)), "two segments hold the same step"
        self.open += [[one.key for one in line] for line in uncovered(now, covered)]
        self.finished += now.finished
        assert bool(self.open) != now.finished, "a run goes on or is finished"

    def hold_against_the_reference(self, lines: tuple[Line, ...], finished: bool) -> None:
        ready = {key for key, after in self.order.items() if key not in self.done and after <= self.done.keys()}
        assert {line[0].key for line in lines} == ready
        assert finished == (not ready) == (self.done.keys() == self.order.keys())
        for line in lines:
            assert 1 <= len(line) <= MAX_LINE
            assert len(line) == 1 or not any(one.gate for one in line)
            for before, one in pairwise(line):
                assert one.key not in self.done
                assert self.order[one.key] <= {before.key} | self.done.keys()

    def commit(self, segment: list[str]) -> None:
        key = segment.pop(0)
        assert key not in self.done, "a finished step runs again"
        assert self.order[key] <= self.done.keys(), "a step runs before what it follows"
        self.done[key] = facts_at(key, self.seed)
        self.commits.append(key)
        if not segment:
            self.open.remove(segment)
            self.advance()

    def lose(self, segment: list[str]) -> None:
        """The worker died, or the step is to be tried again: what was not committed is planned anew."""
        self.open.remove(segment)
        self.advance()


@settings(max_examples=400, deadline=None)
@given(definitions(), st.integers(0, 1000), st.data())
def test_every_path_runs_once_in_order_and_it_ends(body: Part, seed: int, data: st.DataObject) -> None:
    engine = Engine(body, seed, reference(body, seed))
    engine.advance()
    losses = data.draw(st.integers(0, 10))
    while engine.open:
        segment = data.draw(st.sampled_from(engine.open))
        match (
            data.draw(st.sampled_from(["commit", "commit", "commit", "lose", "lose all", "advance"]))
            if losses
            else "commit"
        ):
            case "commit":
                engine.commit(segment)
            case "lose":
                losses -= 1
                engine.lose(segment)
            case "lose all":
                losses -= 1
                engine.open.clear()
                engine.advance()
            case _:
                losses -= 1
                before = [list(one) for one in engine.open]
                engine.advance()
                assert engine.open == before, "what is covered is opened again"
    assert engine.finished == 1
    assert sorted(engine.commits) == sorted(engine.order)


@settings(max_examples=200, deadline=None)
@given(definitions(), st.integers(0, 1000), st.data())
def test_the_plan_does_not_depend_on_the_order_in_which_steps_ended(body: Part, seed: int, data: st.DataObject) -> None:
    engine = Engine(body, seed, reference(body, seed))
    engine.advance()
    for _ in range(data.draw(st.integers(0, len(engine.order)))):
        engine.commit(data.draw(st.sampled_from(engine.open)))
    keys = data.draw(st.permutations(sorted(engine.done)))
    shuffled = {key: engine.done[key] for key in keys}
    before = repr(shuffled)
    assert plan(body, {"seed": seed}, shuffled) == plan(body, {"seed": seed}, engine.done)
    assert repr(shuffled) == before, "plan changes what it is given"


@settings(max_examples=200, deadline=None)
@given(definitions(), st.integers(0, 1000), st.data())
def test_the_outline_tells_what_is_done_and_nothing_wrong(body: Part, seed: int, data: st.DataObject) -> None:
    engine = Engine(body, seed, reference(body, seed))
    engine.advance()
    for _ in range(data.draw(st.integers(0, len(engine.order)))):
        engine.commit(data.draw(st.sampled_from(engine.open)))
    told = outline(body, {"seed": seed}, engine.done)
    keys = {status: [one.key for one in told if one.status == status] for status in ("done", "planned", "skipped")}
    assert sorted(keys["done"]) == sorted(engine.done)
    assert set(keys["planned"]) == set(keys["planned"]) & engine.order.keys()
    assert {key for segment in engine.open for key in segment} <= set(keys["planned"])
    assert not set(keys["skipped"]) & engine.order.keys()
    assert len(told) == len({one.key for one in told})
    for one in told:
        found = find(body, one.key)
        assert found and (found.key, found.node) == (one.key, one.node)


@settings(max_examples=200, deadline=None)
@given(definitions(), st.integers(0, 1000), st.data())
def test_names_lead_to_the_same_steps_whatever_the_order_of_commits(body: Part, seed: int, data: st.DataObject) -> None:
    """Given a finished run, when its keys are read by name, then the order of commits makes no difference."""
    engine = Engine(body, seed, reference(body, seed))
    engine.advance()
    while engine.open:
        engine.commit(data.draw(st.sampled_from(engine.open)))
    in_order = by_name(list(engine.order))
    assert by_name(engine.commits) == in_order
