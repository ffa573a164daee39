"""Step keys: what a path like `loop#2/map[7]/fetch` says, and which key stands under which name. Only strings here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_NUMBERS = re.compile(r"(?<=#)\d+(?=/)|(?<=\[)\d+(?=\])")
_INDEX = re.compile(r"\[\d+\]$")


def pattern(key: str) -> str:
    """The key without its numbers: `loop#2/map[7]/fetch` is `loop#/map[]/fetch`."""
    return _NUMBERS.sub("", key)


def name_of(key: str) -> str:
    """The name under which others find the output of the step with this key."""
    return _INDEX.sub("", key.rpartition("/")[2])


def by_name(keys: Iterable[str], reader: str = "") -> dict[str, Any]:
    """Which keys stand under which name, given the keys of finished steps in the order of their commits.

    The last iteration wins; a fan-out is a list by index (None where an item has no such step). Seen from a reader
    (a step key) within an item of a fan-out, the steps of that same item stand there by themselves, not as a list.
    """
    paths: dict[str, list[tuple[list[str], str]]] = {}
    for key in keys:
        paths.setdefault(name_of(key), []).append((key.split("/"), key))
    picked = {name: _pick(found, reader.split("/")) for name, found in paths.items()}
    return {name: found for name, found in picked.items() if found is not None}


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
