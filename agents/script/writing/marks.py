"""Part marks: a model writes 【开场】 or [Opening] before each part, viewers see them grow as headings, and here the
answer becomes parts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agents.script.data import load
from agents.script.words import Language
from agents.script.writing.parts import Part

MARK = re.compile(r"^[ \t*#]*[【\[]\s*(?P<label>[^】\]\n]{1,20}?)\s*[】\]][ \t*:：]*", re.MULTILINE)
UNNAMED = "body"


def parts_in(text: str, language: Language, expected: Sequence[str]) -> list[Part]:
    """The parts of a model's answer. Without marks each paragraph is one, named where there are as many as expected."""
    labels = {label.lower(): kind for kind, label in load(f"templates/{language}")["labels"].items()}
    marks = list(MARK.finditer(text))
    if marks:
        ends = [*(mark.start() for mark in marks[1:]), len(text)]
        named = [
            (labels.get(mark["label"].lower(), UNNAMED), text[mark.end() : end])
            for mark, end in zip(marks, ends, strict=True)
        ]
        if text[: marks[0].start()].strip():
            named.insert(0, (UNNAMED, text[: marks[0].start()]))
    else:
        paragraphs = [lines for lines in re.split(r"\n\s*\n", text) if lines.strip()]
        kinds = list(expected) if len(expected) == len(paragraphs) else [UNNAMED] * len(paragraphs)
        named = list(zip(kinds, paragraphs, strict=True))
    between = "" if language == "zh" else " "
    whole = [(kind, between.join(line.strip() for line in lines.split("\n") if line.strip())) for kind, lines in named]
    return [Part(kind=kind, text=said, by="model") for kind, said in whole if said]
