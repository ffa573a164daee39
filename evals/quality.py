"""How well the quality rules find what may not be said: two labelled sets, judged line by line.

`evals/quality/*.yaml` say what stands in them and how they were labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from agents.script.brief import Brief
from agents.script.quality.facts import known_from
from agents.script.quality.wording import wrong_words
from agents.script.words import Language
from evals.score import Score

FOLDER = Path(__file__).parent / "quality"
TUNED = "tune"
SETS = (TUNED, "held_out")
NAMES = ("creator", "catch_phrase", "product", "price", "currency", "offer", "specification", "occasion", "platform",
         "audience", "category")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One labelled line. expected: (family, start, end)."""

    language: str
    category: str
    text: str
    expected: tuple[tuple[str, int, int], ...]
    row: Mapping[str, Any] | None = None
    query: str = ""
    occasion: str | None = None


def lines_of(name: str) -> list[Line]:
    """The lines of a set."""
    rows = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["lines"]
    return [_line(row) for row in rows]


def _line(row: Any) -> Line:
    if isinstance(row, Mapping):
        language, category, text, labels = row["language"], row["category"], row["text"], row["findings"]
    else:
        language, category, text, *labels = row
    more = {name: row.get(name) for name in ("row", "occasion")} if isinstance(row, Mapping) else {}
    query = row.get("query", "") if isinstance(row, Mapping) else ""
    return Line(language, category, text, tuple(_expected(text, labels)), query=query, **more)


def _expected(text: str, labels: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """The spans of the labels; the same words twice stand at two places."""
    seen: Counter[str] = Counter()
    for label in labels:
        family, _, words = label.partition("=")
        at = -1
        for _ in range(seen[label] + 1):
            at = text.find(words, at + 1)
        if at < 0:
            at = text.lower().find(words.lower())
        if at < 0:
            raise ValueError(f"{words!r} does not stand in {text!r}")
        seen[label] += 1
        yield family, at, at + len(words)


def findings(line: Line) -> list[tuple[str, int, int]]:
    """What the rules find in a line; numbers only where there is a row to hold them against."""
    row = line.row or {}
    facts = {**dict.fromkeys(NAMES), "product": row.get("name"), "price": row.get("price"),
             "occasion": line.occasion}  # fmt: skip
    brief = Brief(
        query=line.query, language=cast(Language, line.language), intent="generate", scene="", tone="",
        category=line.category, facts=facts, points=tuple(row.get("selling_points") or ()), banned=(), style=None,
        target_length=None, turns=(),
    )  # fmt: skip
    found = wrong_words(line.text, brief, known_from(brief, row))
    return [(f["family"], f["start"], f["end"]) for f in found if line.row is not None or f["family"] != "number"]


def judge(lines: Sequence[Line]) -> dict[str, Score]:
    """The scores by family, and of all under "all". A finding is right once: same family, overlapping spans."""
    scores: dict[str, Score] = {"all": Score()}
    for line in lines:
        open_labels = list(line.expected)
        for family, start, end in findings(line):
            label = next((one for one in open_labels if one[0] == family and one[1] < end and start < one[2]), None)
            if label:
                open_labels.remove(label)
                _count(scores, family, "right")
            elif not any(one[0] == family and one[1] < end and start < one[2] for one in line.expected):
                told = f"false alarm: {family} {line.text[start:end]!r} in {line.text!r}"
                _count(scores, family, "false_alarms", told)
        for family, start, end in open_labels:
            _count(scores, family, "missed", f"missed: {family} {line.text[start:end]!r} in {line.text!r}")
    return scores


def _count(scores: dict[str, Score], family: str, what: str, told: str | None = None) -> None:
    for score in (scores["all"], scores.setdefault(family, Score())):
        setattr(score, what, getattr(score, what) + 1)
        if told:
            score.lines.append(told)


def run() -> list[dict[str, object]]:
    """A row for each set: what `python -m evals quality` shows."""
    rows: list[dict[str, object]] = []
    for name in SETS:
        lines = lines_of(name)
        score = judge(lines)["all"]
        rows.append(
            {
                "set": name,
                "lines": len(lines),
                "innocent": sum(not line.expected for line in lines),
                "precision": round(score.precision, 3),
                "recall": round(score.recall, 3),
                "missed": score.missed,
                "false alarms": score.false_alarms,
            }
        )
    return rows


def wrong() -> list[str]:
    """Every miss and false alarm of the set that the rules are made with; who sees those of the other tunes to it."""
    return [f"{TUNED}: {line}" for line in judge(lines_of(TUNED))["all"].lines]
