"""Text that can be stored and sent: whole characters only, JSON without blanks."""

from __future__ import annotations

import json
from typing import Any

# `json.dumps` makes an encoder for every call that asks for anything unusual, which takes as long as encoding.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def compact(value: Any) -> str:
    """Compact JSON text. Raises TypeError or ValueError for what is no JSON (NaN included)."""
    return whole(_COMPACT.encode(value))


def whole(text: str) -> str:
    """The text, where halves of surrogate pairs (which a node may make, and UTF-8 cannot hold) are mended.

    Two halves that belong together become their character, a lone one becomes U+FFFD.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
