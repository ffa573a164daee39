"""The parts of a chain: what `chains.definition` offers to write one, and the walk over what was written.

Every part is frozen; all but Step and Gate are compared by identity. The functions in small letters check what they
are given and say how to mend it (DefinitionError), so make parts with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, TypeVar

from errors import BatonError

Json: TypeAlias = Any
FactsView: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[FactsView], bool]
Size: TypeAlias = Callable[[FactsView], int | Sized]
Item = TypeVar("Item")

_KEY = re.compile(r"[^\s/#\[\]]{1,100}")


class DefinitionError(BatonError):
    """This chain definition is wrong."""

    code = "bad_definition"


@dataclass(frozen=True)
class Step:
    """One agent node.

    facts: fields of its output to decide on; quick: it takes milliseconds here, so its start needs no write of its own.
    """

    node: str
    key: str | None = None
    facts: tuple[str, ...] = ()
    quick: bool = False

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
    on_timeout: Literal["fail"] | Mapping[str, Json] = field(default="fail", hash=False)
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
    quick: bool = False,
) -> Step:
    """Run the node of this name."""
    check_key(node, "the node of step()")
    if key is not None:
        check_key(key, f"key= of step({node!r})")
    return Step(node, key, check_names(facts, "facts", f"step({node!r})"), quick)


def sequence(*parts: Part) -> Part:
    """Run the parts one after the other. Sequences within are spliced in."""
    if not parts:
        raise DefinitionError("sequence() is empty: give it at least one part")
    flat = tuple(one for part in parts for one in (part.parts if isinstance(part, Sequence) else (check_part(part),)))
    return flat[0] if len(flat) == 1 else Sequence(flat)


def when(condition: Condition, *parts: Part) -> When:
    """One way of a branch()."""
    return When(_callable(condition, "the condition of when()"), sequence(*parts))


def branch(*ways: When, otherwise: Part | None = None) -> Branch:
    """Run the first way whose condition holds."""
    if not ways or not all(isinstance(way, When) for way in ways):
        raise DefinitionError("branch() takes one or more when(condition, part) and, at will, otherwise=part")
    return Branch(ways, None if otherwise is None else check_part(otherwise))


def parallel(*parts: Part) -> Parallel:
    """Run the parts beside each other and join them."""
    if not parts:
        raise DefinitionError("parallel() is empty: give it at least one part")
    return Parallel(tuple(check_part(part) for part in parts))


def each(label: str, *parts: Part, over: Size) -> Each:
    """Run the parts once for every item, beside each other, and join them; no item: nothing runs."""
    return Each(check_key(label, "the label of each()"), sequence(*parts), _callable(over, f"over= of each({label!r})"))


def repeat(label: str, *parts: Part, until: Condition, at_most: int) -> Repeat:
    """Run the parts in rounds until the condition holds: at most `at_most` rounds, perhaps none."""
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
        raise DefinitionError(f"at_most= of repeat({label!r}) is {at_most!r}: give a whole number of rounds, 1 or more")
    checked = _callable(until, f"until= of repeat({label!r})")
    return Repeat(check_key(label, "the label of repeat()"), sequence(*parts), checked, at_most)


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
    return Gate(
        check_key(key, "the key of gate()"), question, timeout_seconds, on_timeout, check_names(facts, "facts", where)
    )


def check_part(value: Part) -> Part:
    """Give the part back. Raises DefinitionError where it is none."""
    if not isinstance(value, Step | Gate | Sequence | Branch | Parallel | Each | Repeat):
        mend = "put it into branch(...)" if isinstance(value, When) else "use step(...), gate(...), sequence(...), ..."
        raise DefinitionError(f"{value!r} is no part of a chain: {mend}")
    return value


def check_key(value: str, what: str) -> str:
    """Give back a key, label or node name. Raises DefinitionError where it cannot be one."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise DefinitionError(f"{what} is {value!r}: give 1 to 100 characters without spaces and / # [ ]")
    if value == "input":
        raise DefinitionError(f"{what} is 'input', which is the name of the run's input: take another")
    return value


def _callable(value: Item, what: str) -> Item:
    if not callable(value):
        raise DefinitionError(f"{what} is {value!r}: give a function of the facts")
    return value


def check_names(values: Iterable[str], what: str, where: str) -> tuple[str, ...]:
    """Give names back as a tuple. Raises DefinitionError where they are a single string or no strings."""
    if isinstance(values, str):
        raise DefinitionError(f"{what}= of {where} is a string: write {what}=({values!r},)")
    names = tuple(values)
    if not all(isinstance(name, str) and name for name in names):
        raise DefinitionError(f"{what}= of {where} is {names!r}: give names, as strings")
    return names


# ----------------------------------------------------------------------------------------------- where the steps stand


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
