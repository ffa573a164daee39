"""Sentences and clauses of a script, with their places."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# A full stop ends a sentence only before a space or at the end: 29.9 and No.1 are one piece.
SENTENCE = re.compile(r"(?:[^。！？!?.\n]|\.(?=[^\s.]))+(?:[。！？!?]|\.(?!\w))*")
CLAUSE = re.compile(r"[^，,、；;。！？!?\n]+(?:[，,、；;。！？!?]+|$)")


class Sentence(NamedTuple):
    """A piece of a text that is mended at once."""

    start: int
    end: int


def sentences(text: str, spans: Iterable[tuple[int, int]] = ()) -> list[Sentence]:
    """The sentences of a text; those that one of the spans connects are one."""
    whole = list(spans)
    found: list[Sentence] = []
    for match in SENTENCE.finditer(text):
        if found and any(start < found[-1].end and match.start() < end for start, end in whole):
            found[-1] = Sentence(found[-1].start, match.end())
        else:
            found.append(Sentence(*match.span()))
    return found
