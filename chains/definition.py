"""How a chain is written down: a table of contents made of steps, branches, loops, fan-outs and gates.

    Chain(
        "shop", version="1",
        body=sequence(
            step("shop.price", facts=("total",)),
            branch(when(lambda facts: facts["price"]["total"] > 100, gate("approve", "Is this fine?"))),
            step("shop.ship"),
        ),
    )

A definition names its nodes by string and holds no logic but its conditions, which are small pure functions of the
facts that precede them: `facts["price"]["total"]` is a field that the step declared in `facts=`. Every part is frozen
and compared by identity, but for Step and Gate. What is wrong with a chain is said when it is made (DefinitionError).

The key of a step is its path: `write`, `loop#2/write` in the second round of a repeat, `map[7]/fetch` in the item 7 of
an each, and plainly `branch[0]` where the body of an each is one step without a key of its own. The name under which
others find its output is the last part of the path, without the number.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from chains.parts import (
    DefinitionError,
    Each,
    FactsView,
    Gate,
    Json,
    Parallel,
    Part,
    Place,
    Repeat,
    Step,
    branch,
    check_key,
    check_names,
    check_part,
    children,
    each,
    gate,
    parallel,
    places,
    repeat,
    sequence,
    step,
    when,
)
from chains.paths import by_name, name_of
from errors import FieldError, InvalidInput

__all__ = [
    "Chain",
    "DefinitionError",
    "FactsView",
    "Gate",
    "Json",
    "Part",
    "Results",
    "Step",
    "StepResult",
    "branch",
    "each",
    "gate",
    "parallel",
    "repeat",
    "sequence",
    "step",
    "when",
]


@dataclass(frozen=True)
class StepResult:
    """A finished step: version is its place in the order of commits, from 1."""

    key: str
    node: str
    version: int
    facts: Mapping[str, Json]

    @property
    def name(self) -> str:
        """The name under which its output is found."""
        return name_of(self.key)


@dataclass(frozen=True)
class Results:
    """What a chain's `output` function may look at once every step is done.

    steps: in the order of their commits; effects: how many are done; read: the output of a step by its key.
    """

    input: Mapping[str, Json]
    steps: SequenceOf[StepResult]
    effects: int
    read: Callable[[str], Json]

    @cached_property
    def _keys(self) -> dict[str, Any]:
        return by_name(one.key for one in self.steps)

    def output(self, name: str) -> Json:
        """The last output of that name, a list by index for a fan-out; None where no such step ran."""
        return self._read(self._keys.get(name))

    def _read(self, key: Any) -> Json:
        if isinstance(key, list):
            return [self._read(one) for one in key]
        return None if key is None else self.read(key)


@dataclass(frozen=True)
class Accepted:
    """A valid input: as it was sent (what nodes read), and the declared facts with their defaults filled in."""

    input: dict[str, Json]
    facts: dict[str, Json]


@dataclass(frozen=True, eq=False)
class Chain:
    """A chain by name and version. A run stays on the version that it started with: change the body, raise the version.

    body: its parts, or build: a pure function of the declared input facts that makes them; input_schema: a pydantic
    model of the input; input_facts: the fields of it that build and conditions see; output: makes the run's output of
    its Results (without one it is the output of the last step); internal: Baton alone starts it, and lists no skill.
    """

    name: str
    version: str
    body: Part | None = None
    build: Callable[[FactsView], Part] | None = field(default=None, kw_only=True)
    input_schema: type[BaseModel] | None = field(default=None, kw_only=True)
    input_facts: tuple[str, ...] = field(default=(), kw_only=True)
    output: Callable[[Results], Json] | None = field(default=None, kw_only=True)
    title: str = field(default="", kw_only=True)
    internal: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("version", self.version)):
            if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
                raise DefinitionError(f"the {what} of a chain is {value!r}: give letters, digits, _ . - (at most 100)")
        if (self.body is None) == (self.build is None):
            raise DefinitionError(f"chain {self.name!r} needs a body or a build function, and not both")
        check_names(self.input_facts, "input_facts", f"chain {self.name!r}")
        if self.input_schema is not None:
            for name in self.input_facts:
                _known(name, self.input_schema.model_fields, f"input_facts= of chain {self.name!r} names")
        if self.body is not None:
            check(check_part(self.body), self.name)

    def body_for(self, input_facts: FactsView) -> Part:
        """The parts of a run with these input facts. Not cached: see `catalog.definition`."""
        if self.build is None:
            assert self.body is not None
            return self.body
        body = check_part(self.build(input_facts))
        check(body, self.name)
        return body

    def accept(self, given: Json) -> Accepted:
        """Check a run's input. Raises InvalidInput that names each wrong field."""
        if not isinstance(given, Mapping):
            raise InvalidInput(errors=[FieldError(field="input", message="must be a JSON object")])
        if self.input_schema is None:
            return Accepted(dict(given), {name: given[name] for name in self.input_facts if name in given})
        try:
            model = self.input_schema.model_validate(given)
        except ValidationError as error:
            raise InvalidInput(
                errors=[_field_error(one, given, self.input_schema.model_fields) for one in error.errors()]
            ) from error
        every = model.model_dump(mode="json")
        return Accepted(
            model.model_dump(mode="json", exclude_unset=True), {name: every[name] for name in self.input_facts}
        )


def _field_error(error: ErrorDetails, given: Json, known: Iterable[str]) -> FieldError:
    path, value, missing = ["input"], given, error["type"] == "missing"
    for part in error["loc"]:  # of pydantic's path take what is in the input, and not the names of its own types
        if isinstance(value, Mapping) and (part in value or missing):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int):
            value = value[part]
        else:
            break
        path.append(str(part))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], list(known), 1)
        message = f"unknown field, did you mean {near[0]!r}?" if near else "unknown field"
    return FieldError(field=".".join(path), message=message)


def check(body: Part, chain: str) -> None:
    """Raise DefinitionError where keys, labels or names of a body collide."""
    steps: set[str] = set()
    names: dict[str, Place] = {"input": Place("input", "input", Step("input"), ())}
    for place in places(body):
        check_key(place.name, f"the key of a step of chain {chain!r}")
        if place.pattern in steps:
            raise DefinitionError(f"chain {chain!r} has the step key {place.pattern!r} twice: give one of them key=")
        steps.add(place.pattern)
        if names.setdefault(place.name, place).items != place.items:
            raise DefinitionError(
                f"chain {chain!r} has the name {place.name!r} both within an each and outside of it "
                f"({names[place.name].pattern}, {place.pattern}): give one of them key="
            )
    _check_labels(body, chain, set())


def _check_labels(part: Part, chain: str, labels: set[str]) -> None:
    if isinstance(part, Each | Repeat):
        if part.label in labels:
            raise DefinitionError(f"chain {chain!r} has the label {part.label!r} twice: give one of them another label")
        labels.add(part.label)
    ways = children(part)
    for child in ways:
        _check_labels(child, chain, labels)
    if isinstance(part, Parallel):
        _check_beside([{place.name for place in places(child)} for child in ways], chain)


def _check_beside(ways: list[set[str]], chain: str) -> None:
    seen: set[str] = set()
    for names in ways:
        if both := sorted(seen & names):
            raise DefinitionError(
                f"chain {chain!r} has the name {both[0]!r} in two ways of one parallel(), so nobody could tell whose "
                "output is meant: give one of them key="
            )
        seen |= names


def _known(name: str, names: Iterable[str], what: str) -> None:
    known = sorted(names)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
        raise DefinitionError(f"{what} {name!r}, which there is not: {mend}")
