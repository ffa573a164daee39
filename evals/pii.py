"""How well personal data and secrets are found: two labelled sets, and how fast ordinary text goes through.

    python -m evals pii [--lines]

`evals/pii/*.yaml` say what stands in them and how they were labelled. In their lines `{x36}` stands for 36 characters
that are always the same ones: x letters and digits, X capitals and digits, b base64, h hexadecimal digits, d digits;
`{x36:c}` for 36 others, and `{5}` for five dashes.
"""

from __future__ import annotations

import hashlib
import re
import string
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from evals.score import Score
from policy.pii import mask

FOLDER = Path(__file__).parent / "pii"
TUNED = "tune"
SETS = (TUNED, "held_out")
SHARED_OF_ADDRESS = 0.6
LETTERS = {
    "x": string.ascii_letters + string.digits,
    "X": string.ascii_uppercase + "234567",
    "b": string.ascii_letters + string.digits + "+/",
    "h": "0123456789abcdef",
    "d": string.digits,
    "": "-",
}
PLACEHOLDER = re.compile(r"\{([xXbhd]?)([0-9]{1,2})(:[a-z])?\}")


@dataclass(frozen=True)
class Span:
    """A rule's name and where it holds."""

    rule: str
    start: int
    end: int


@dataclass(frozen=True)
class Line:
    """One labelled line."""

    text: str
    expected: tuple[Span, ...]


def lines_of(name: str) -> list[Line]:
    """The lines of a set. ValueError where a label does not stand in its line."""
    rows = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["lines"]
    return [_line(*map(_written_out, row)) for row in rows]


def _written_out(text: str) -> str:
    return PLACEHOLDER.sub(_characters, text)


def _characters(placeholder: re.Match[str]) -> str:
    kind, count, tag = placeholder.groups()
    numbers = hashlib.shake_256(f"{kind}{tag}".encode()).digest(int(count))
    return "".join(LETTERS[kind][number % len(LETTERS[kind])] for number in numbers)


def _line(text: str, *labels: str) -> Line:
    spans: list[Span] = []
    for label in labels:
        rule, _, words = label.partition("=")
        at = max((span.end for span in spans if text[span.start : span.end] == words), default=0)
        start = text.index(words, at)
        spans.append(Span(rule, start, start + len(words)))
    return Line(text, tuple(spans))


def judge(lines: Sequence[Line]) -> dict[str, Score]:
    """The scores by rule, and of all under "all"."""
    scores: dict[str, Score] = {"all": Score()}
    for line in lines:
        found = [Span(one.rule, one.start, one.end) for one in mask.findings(line.text)]
        missed = list(line.expected)
        for span in found:
            label = next((one for one in missed if _same(one, span)), None)
            if label:
                missed.remove(label)
                _count(scores, span, "right")
            else:
                _count(scores, span, "false_alarms", line)
        for span in missed:
            _count(scores, span, "missed", line)
    return scores


def _same(label: Span, found: Span) -> bool:
    if label == found or label.rule != found.rule or label.rule != "address":
        return label == found
    shared = min(label.end, found.end) - max(label.start, found.start)
    return shared >= SHARED_OF_ADDRESS * (max(label.end, found.end) - min(label.start, found.start))


def _count(scores: dict[str, Score], span: Span, what: str, line: Line | None = None) -> None:
    for score in (scores["all"], scores.setdefault(span.rule, Score())):
        setattr(score, what, getattr(score, what) + 1)
        if line:
            score.lines.append(f"{what}: {span.rule} {line.text[span.start : span.end]!r} in {line.text!r}")


def ordinary_text() -> str:
    """About a megabyte of UTF-8, Chinese and English mixed, with about one finding a kilobyte.

    The prose is the documents' own (this repository's pages and the rule-level writer's words); the labelled lines of
    the tuned set are strewn in.
    """
    root = Path(__file__).parents[1]
    files = [*sorted((root / "docs").glob("*.md")), *sorted((root / "agents" / "script" / "data").rglob("*.yaml"))]
    prose = "\n".join(path.read_text(encoding="utf-8") for path in files)
    chunks = [prose[at : at + 700] for at in range(0, len(prose), 700)]
    telling = [line.text for line in lines_of(TUNED) if line.expected]
    text = "".join(f"{chunk}\n{telling[at % len(telling)]}\n" for at, chunk in enumerate(chunks))
    return text * max(1, round(1_000_000 / len(text.encode())))


def megabytes_a_second() -> tuple[float, float]:
    """How fast `masked` goes through ordinary text, the best of three, and the findings in a kilobyte of it."""
    text = ordinary_text()
    size = len(text.encode())
    took = []
    for _ in range(3):
        began = time.perf_counter()
        mask.masked(text)
        took.append(time.perf_counter() - began)
    return size / 1e6 / min(took), len(mask.findings(text)) / (size / 1024)


def run() -> list[dict[str, object]]:
    """A row for each set and each rule of it, then the speed: what `python -m evals pii` shows."""
    return [row for name in SETS for row in _rows(name)] + [_speed()]


def _rows(name: str) -> Iterator[dict[str, object]]:
    lines = lines_of(name)
    labels = Counter(span.rule for line in lines for span in line.expected)
    for rule, score in sorted(judge(lines).items(), key=lambda pair: (pair[0] != "all", pair[0])):
        yield {
            "set": name,
            "rule": rule,
            "lines": len(lines) if rule == "all" else "",
            "innocent": sum(not line.expected for line in lines) if rule == "all" else "",
            "labels": labels.total() if rule == "all" else labels[rule],
            "precision": f"{score.precision:.3f}",
            "recall": f"{score.recall:.3f}",
            "missed": score.missed,
            "false alarms": score.false_alarms,
        }


def _speed() -> dict[str, object]:
    speed, findings = megabytes_a_second()
    return {"set": "speed", "rule": f"{speed:.1f} MB/s of UTF-8, {findings:.2f} findings a KB"}


def wrong() -> list[str]:
    """Every miss and false alarm of the set that the rules are made with; who sees those of the other tunes to it."""
    return judge(lines_of(TUNED))["all"].lines
