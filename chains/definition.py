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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from errors import BatonError, FieldError, InvalidInput

Json: TypeAlias = Any
FactsView: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[FactsView], bool]
Size: TypeAlias = Callable[[FactsView], int | Sized]
Item = TypeVar("Item")

_KEY = re.compile(r"[^\s/#\[\]]{1,100}")
_NUMBERS = re.compile(r"(?<=#)\d+(?=/)|(?<=\[)\d+(?=\])")


class DefinitionError(BatonError):
    """This chain definition is wrong."""

    code = "bad_definition"


# ---------------------------------------------------------------------------------------------- the parts of a chain


@dataclass(frozen=True)
class Step:
    """One agent node. facts: fields of its output to decide on; reads, quick: override what the node says of itself."""

    node: str
    key: str | None = None
    facts: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = None
    quick: bool | None = None

    @property
    def name(self) -> str:
        """Its own key: by default the node's name after the last dot."""
        return self.key or self.node.rpartition(".")[2]


@dataclass(frozen=True)
class Gate:
    """Waits for an answer from outside; a JSON object as answer is the gate's facts.

    question: what a person is asked, or a function of the facts; timeout_seconds: how long it waits (None: for ever);
    on_timeout: "fail", or the answer to take then; facts: the fields of the answer to keep (none named: all).
    """

    key: str
    question: str | Callable[[FactsView], str]
    timeout_seconds: float | None = None
    on_timeout: Literal["fail"] | Mapping[str, Json] = "fail"
    facts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.key


@dataclass(frozen=True, eq=False)
class Sequence:
    """Parts that run one after the other."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class When:
    """One way of a branch: the part runs if the condition holds and none before it did."""

    condition: Condition
    part: Part


@dataclass(frozen=True, eq=False)
class Branch:
    """The first way whose condition holds, else `otherwise`, else nothing."""

    ways: tuple[When, ...]
    otherwise: Part | None = None


@dataclass(frozen=True, eq=False)
class Parallel:
    """Parts that run beside each other; what follows waits for all of them."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, eq=False)
class Each:
    """As many copies of a part beside each other as `over` says: a number, or something whose length counts."""

    label: str
    part: Part
    over: Size

    @property
    def plain(self) -> Step | None:
        """The one step of its body, if that has no key of its own: it is then named after the label."""
        return self.part if isinstance(self.part, Step) and self.part.key is None else None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all outputs within, each of them a list outside."""
        return tuple(dict.fromkeys(place.name for place in places(self)))


@dataclass(frozen=True, eq=False)
class Repeat:
    """Rounds of a part until a condition, looked at before every round, holds; never more than `at_most`."""

    label: str
    part: Part
    until: Condition
    at_most: int


Part: TypeAlias = Step | Gate | Sequence | Branch | Parallel | Each | Repeat


def step(
    node: str,
    key: str | None = None,
    *,
    facts: Iterable[str] = (),
    reads: Iterable[str] | None = None,
    quick: bool | None = None,
) -> Step:
    """Run the node of this name."""
    return Step(node, key, _names(facts, "facts", node), None if reads is None else _names(reads, "reads", node), quick)


def sequence(*parts: Part) -> Part:
    """Run the parts one after the other. Sequences within are spliced in."""
    if not parts:
        raise DefinitionError("sequence() is empty: give it at least one part")
    flat = tuple(one for part in parts for one in (part.parts if isinstance(part, Sequence) else (_part(part),)))
    return flat[0] if len(flat) == 1 else Sequence(flat)


def when(condition: Condition, *parts: Part) -> When:
    """One way of a branch()."""
    return When(_callable(condition, "the condition of when()"), sequence(*parts))


def branch(*ways: When, otherwise: Part | None = None) -> Branch:
    """Run the first way whose condition holds."""
    if not ways or not all(isinstance(way, When) for way in ways):
        raise DefinitionError("branch() takes one or more when(condition, part) and, at will, otherwise=part")
    return Branch(ways, None if otherwise is None else _part(otherwise))


def parallel(*parts: Part) -> Parallel:
    """Run the parts beside each other and join them."""
    if not parts:
        raise DefinitionError("parallel() is empty: give it at least one part")
    return Parallel(tuple(_part(part) for part in parts))


def each(label: str, *parts: Part, over: Size) -> Each:
    """Run the parts once for every item, beside each other, and join them; no item: nothing runs."""
    return Each(_key(label, "the label of each()"), sequence(*parts), _callable(over, f"over= of each({label!r})"))


def repeat(label: str, *parts: Part, until: Condition, at_most: int) -> Repeat:
    """Run the parts in rounds until the condition holds: at most `at_most` rounds, perhaps none."""
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
        raise DefinitionError(f"at_most= of repeat({label!r}) is {at_most!r}: give a whole number of rounds, 1 or more")
    checked = _callable(until, f"until= of repeat({label!r})")
    return Repeat(_key(label, "the label of repeat()"), sequence(*parts), checked, at_most)


def gate(
    key: str,
    question: str | Callable[[FactsView], str],
    *,
    timeout_seconds: float | None = None,
    on_timeout: Literal["fail"] | Mapping[str, Json] = "fail",
    facts: Iterable[str] = (),
) -> Gate:
    """Wait for an answer, or until the timeout."""
    where = f"gate({key!r})"
    if not question:
        raise DefinitionError(f"{where} has no question: say what a person is asked")
    if timeout_seconds is not None and timeout_seconds <= 0:
        raise DefinitionError(f"timeout_seconds= of {where} is {timeout_seconds}: give a positive number of seconds")
    if on_timeout != "fail" and not isinstance(on_timeout, Mapping):
        raise DefinitionError(f'on_timeout= of {where} is {on_timeout!r}: give "fail" or an answer (a mapping)')
    if on_timeout != "fail" and timeout_seconds is None:
        raise DefinitionError(f"{where} has on_timeout= but never times out: give it timeout_seconds= as well")
    return Gate(_key(key, "the key of gate()"), question, timeout_seconds, on_timeout, _names(facts, "facts", where))


def _part(value: Part) -> Part:
    if not isinstance(value, Step | Gate | Sequence | Branch | Parallel | Each | Repeat):
        mend = "put it into branch(...)" if isinstance(value, When) else "use step(...), gate(...), sequence(...), ..."
        raise DefinitionError(f"{value!r} is no part of a chain: {mend}")
    return value


def _key(value: str, what: str) -> str:
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise DefinitionError(f"{what} is {value!r}: give 1 to 100 characters without spaces and / # [ ]")
    if value == "input":
        raise DefinitionError(f"{what} is 'input', which is the name of the run's input: take another")
    return value


def _callable(value: Item, what: str) -> Item:
    if not callable(value):
        raise DefinitionError(f"{what} is {value!r}: give a function of the facts")
    return value


def _names(values: Iterable[str], what: str, where: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise DefinitionError(f"{what}= of {where} is a string: write {what}=({values!r},)")
    names = tuple(values)
    if not all(isinstance(name, str) and name for name in names):
        raise DefinitionError(f"{what}= of {where} is {names!r}: give names, as strings")
    return names


# ------------------------------------------------------------------------------------------------------ keys and names


@dataclass(frozen=True)
class Place:
    """Where a step or gate stands: pattern is its key without numbers (`loop#/write`), items the each labels around."""

    pattern: str
    name: str
    part: Step | Gate
    items: tuple[str, ...]


def places(part: Part, prefix: str = "", items: tuple[str, ...] = ()) -> Iterator[Place]:
    """Every step and gate of a definition, in the order in which it reads."""
    match part:
        case Step() | Gate():
            yield Place(prefix + part.name, part.name, part, items)
        case Each(plain=Step() as only):
            yield Place(f"{prefix}{part.label}[]", part.label, only, (*items, part.label))
        case Each():
            yield from places(part.part, f"{prefix}{part.label}[]/", (*items, part.label))
        case Repeat():
            yield from places(part.part, f"{prefix}{part.label}#/", items)
        case _:
            for child in children(part):
                yield from places(child, prefix, items)


def children(part: Part) -> tuple[Part, ...]:
    """The parts directly within a part."""
    match part:
        case Sequence() | Parallel():
            return part.parts
        case Branch():
            return (*(way.part for way in part.ways), *(() if part.otherwise is None else (part.otherwise,)))
        case Each() | Repeat():
            return (part.part,)
        case _:
            return ()


def pattern(key: str) -> str:
    """The key without its numbers: `loop#2/map[7]/fetch` is `loop#/map[]/fetch`."""
    return _NUMBERS.sub("", key)


def by_name(keys: Iterable[str], reader: str = "") -> dict[str, Any]:
    """Which keys stand under which name, given the keys of finished steps in the order of their commits.

    The last iteration wins; a fan-out is a list by index (None where an item has no such step). Seen from a reader
    (a step key) within an item of a fan-out, the steps of that same item stand there by themselves, not as a list.
    """
    paths: dict[str, list[tuple[list[str], str]]] = {}
    for key in keys:
        path = key.split("/")
        paths.setdefault(re.sub(r"\[\d+\]$", "", path[-1]), []).append((path, key))
    return {name: _pick(found, reader.split("/")) for name, found in paths.items()}


def _pick(found: list[tuple[list[str], str]], reader: list[str]) -> Any:
    path, key = found[-1]
    if not path:
        return key
    if not path[0].endswith("]"):
        return _pick([(path[1:], key) for path, key in found if path[0] == found[-1][0][0]], reader[1:])
    label = path[0].rpartition("[")[0]
    items: dict[int, list[tuple[list[str], str]]] = {}
    for path, key in found:
        items.setdefault(int(path[0][len(label) + 1 : -1]), []).append((path[1:], key))
    if len(reader) > 1 and reader[0].startswith(label + "["):
        own = items.get(int(reader[0][len(label) + 1 : -1]))
        return own and _pick(own, reader[1:])
    return [_pick(items[index], []) if index in items else None for index in range(max(items) + 1)]


# --------------------------------------------------------------------------------------------------------- whole chains


@dataclass(frozen=True)
class StepResult:
    """A finished step: version is its place in the order of commits, from 1."""

    key: str
    node: str
    version: int
    facts: Mapping[str, Json]


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
    its Results (without one it is the output of the last step).
    """

    name: str
    version: str
    body: Part | None = None
    build: Callable[[FactsView], Part] | None = field(default=None, kw_only=True)
    input_schema: type[BaseModel] | None = field(default=None, kw_only=True)
    input_facts: tuple[str, ...] = field(default=(), kw_only=True)
    output: Callable[[Results], Json] | None = field(default=None, kw_only=True)
    title: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("version", self.version)):
            if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
                raise DefinitionError(f"the {what} of a chain is {value!r}: give letters, digits, _ . - (at most 100)")
        if (self.body is None) == (self.build is None):
            raise DefinitionError(f"chain {self.name!r} needs a body or a build function, and not both")
        _names(self.input_facts, "input_facts", f"chain {self.name!r}")
        if self.input_schema is not None:
            for name in self.input_facts:
                _known(name, self.input_schema.model_fields, f"input_facts= of chain {self.name!r} names")
        if self.body is not None:
            check(_part(self.body), self.name)

    def body_for(self, input_facts: FactsView) -> Part:
        """The parts of a run with these input facts. Not cached: see `catalog.definition`."""
        if self.build is None:
            assert self.body is not None
            return self.body
        body = _part(self.build(input_facts))
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
            raise InvalidInput(errors=[_field_error(one) for one in error.errors()]) from error
        every = model.model_dump(mode="json")
        return Accepted(
            model.model_dump(mode="json", exclude_unset=True), {name: every[name] for name in self.input_facts}
        )


def _field_error(error: Any) -> FieldError:
    path = ".".join(("input", *(str(one) for one in error["loc"])))
    return FieldError(field=path, message=str(error["msg"]).removeprefix("Value error, "))


def check(body: Part, chain: str) -> None:
    """Raise DefinitionError where keys, labels or names of a body collide, or where reads= names no step."""
    found = list(places(body))
    steps: dict[str, Place] = {}
    names: dict[str, Place] = {"input": Place("input", "input", Step("input"), ())}
    for place in found:
        _key(place.name, f"the key of a step of chain {chain!r}")
        if place.pattern in steps:
            raise DefinitionError(f"chain {chain!r} has two steps with the key {place.pattern!r}: give one of them key=")
        steps[place.pattern] = place
        if names.setdefault(place.name, place).items != place.items:
            raise DefinitionError(
                f"chain {chain!r} has the name {place.name!r} both within an each and outside of it "
                f"({names[place.name].pattern}, {place.pattern}): give one of them key="
            )
    for place in found:
        for name in (place.part.reads if isinstance(place.part, Step) else None) or ():
            _known(name, names, f"reads= of step {place.pattern!r} in chain {chain!r} names")
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
