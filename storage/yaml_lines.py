"""YAML that remembers its lines, so that a mistake is told where it stands. Knows nothing of models.

Unlike `yaml.safe_load` it also finds keys that are given twice, and tells every mistake of a kind, not the first only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import yaml

Place: TypeAlias = Sequence[str | int]


class Mistake(NamedTuple):
    """What is wrong in a line; sorts by line. place: as `path_of` writes it, or "" where it is the line's own."""

    line: int
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class Unreadable(ValueError):
    """The text is no YAML, or no mapping; `mistakes` says where."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__("; ".join(map(str, mistakes)))
        self.mistakes = mistakes


class Document:
    """A mapping read from YAML, with the lines of its parts."""

    def __init__(self, value: dict[Any, Any], root: yaml.Node, doubled: tuple[Mistake, ...]) -> None:
        self.value = value
        self.doubled = doubled
        self._root = root

    def line(self, place: Place, *, of_key: bool = False) -> int:
        """The line of the value at a place, or of its key; where it does not exist, of what it is missing from."""
        node: yaml.Node = self._root
        mark = node.start_mark
        for part in place:
            found = _child(node, part)
            if found is None:
                break
            key, node = found
            mark = key.start_mark if of_key else node.start_mark
        return int(mark.line) + 1


class _Loader(yaml.SafeLoader):
    """SafeLoader that gives values such as 2024-13-45 the error with a line that other mistakes have."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as wrong:  # PyYAML has no check of its own for `!!int ""`, `!!timestamp x` and the like
            said = str(wrong) if isinstance(wrong, ValueError) else "this is no value of its kind"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from wrong


def read(raw: bytes) -> Document:
    """The mapping that the bytes hold. Raises Unreadable."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        raise Unreadable(Mistake(line, "", f"this is not UTF-8 (byte {wrong.start} of the file)")) from wrong
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise Unreadable(Mistake(1, "", "the file is empty"))
        doubled = tuple(_doubled(root, (), set()))  # before merge keys (<<) are resolved: they may be overridden
        value = loader.construct_document(root)
    except yaml.YAMLError as wrong:
        raise Unreadable(_syntax(wrong, text)) from wrong
    except RecursionError as deep:
        raise Unreadable(Mistake(1, "", "it is nested too deeply")) from deep
    if not isinstance(value, dict):
        kind = {"list": "a list", "str": "a text"}.get(type(value).__name__, "a single value")
        raise Unreadable(Mistake(root.start_mark.line + 1, "", f"a mapping is expected here, this is {kind}"))
    return Document(value, root, doubled)


def path_of(place: Place) -> str:
    """A place as people write it: backends[1].cost_per_1k."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The (key, value) nodes of a part; in a list the item stands for both."""
    if isinstance(node, yaml.SequenceNode):
        if isinstance(part, int) and part < len(node.value):
            return node.value[part], node.value[part]
    elif isinstance(node, yaml.MappingNode):
        pairs = [(key, value) for key, value in node.value if getattr(key, "value", None) == str(part)]
        return pairs[-1] if pairs else None  # the last one counts, as for a merge key that is overridden
    return None


def _doubled(node: yaml.Node, place: tuple[str | int, ...], seen: set[int]) -> Iterator[Mistake]:
    """Keys that a mapping gives twice. seen: anchors are looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _doubled(item, (*place, number), seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                here = (*place, key.value)
                if key.value in first:
                    yield Mistake(line, path_of(here), f"given twice, first in line {first[key.value]}")
                first.setdefault(key.value, line)
                yield from _doubled(value, here, seen)


def _syntax(wrong: yaml.YAMLError, text: str) -> Mistake:
    """YAML's own complaint, without the piece of text that it quotes: a key may stand there."""
    if isinstance(wrong, yaml.MarkedYAMLError):
        mark = wrong.problem_mark or wrong.context_mark
        said = ", ".join(part for part in (wrong.context, wrong.problem) if part)
        return Mistake(mark.line + 1 if mark else 1, "", said)
    if isinstance(wrong, yaml.reader.ReaderError):
        line = text.count("\n", 0, wrong.position) + 1
        return Mistake(line, "", f"the character #x{wrong.character:x} is not allowed in YAML")
    return Mistake(1, "", str(wrong).splitlines()[0])
