"""Text that can be stored and sent: whole characters only."""

from __future__ import annotations


def whole(text: str) -> str:
    """The text, where halves of surrogate pairs (which a node may make, and UTF-8 cannot hold) are mended.

    Two halves that belong together become their character, a lone one becomes U+FFFD.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
