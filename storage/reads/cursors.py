"""Cursors of pages: where the last page ended, as text that a client hands back unread.

A page holds at most `limit` items, and fewer where they are large: `cut` keeps an answer small.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from errors import FieldError, InvalidInput

Item = TypeVar("Item")

PAGE_BYTES = 16 * 1024 * 1024


def encode(*values: Any) -> str:
    """A cursor that stands after an item with these sort values."""
    return base64.urlsafe_b64encode(json.dumps(values, default=str).encode()).decode().rstrip("=")


def decode(cursor: str | None, *types: type) -> list[Any] | None:
    """The sort values in a cursor, each made by its type; None without a cursor. Raises InvalidInput."""
    if cursor is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or len(values) != len(types):
            raise ValueError("other sort values")
        return [kind(value) for kind, value in zip(types, values, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        message = "is not a cursor of this list"
        raise InvalidInput(f"cursor {message}", errors=[FieldError(field="cursor", message=message)]) from None


def cut(items: Sequence[Item], limit: int, sizes: Iterable[int], most: int) -> tuple[list[Item], bool]:
    """The items of this page, and whether there are more: at most `limit`, and `most` in size, but one at least.

    items: read one beyond the limit, to know whether there are more; sizes: one for each item.
    """
    kept: list[Item] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        total += size
        if len(kept) == limit or (kept and total > most):
            return kept, True
        kept.append(item)
    return kept, False
