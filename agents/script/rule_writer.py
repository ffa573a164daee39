"""The rule-level writer: a whole script from sentence templates, right in every fact, without any model.

The same seed and the same brief give the same script, so that a repeated step says the same again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypedDict

from jinja2 import Environment, StrictUndefined, Template

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.words import spoken_length

FILLERS = ("pain_point", "interaction", "preview", "proof")  # parts that may come again when a script is to be longer
TOLERANCE = 0.15
ENVIRONMENT = Environment(undefined=StrictUndefined, autoescape=False)  # speech, not HTML


class Part(TypedDict):
    """One spoken part of a script: what it is for, its text, and who worded it ("model" or "rules")."""

    kind: str
    text: str
    by: str


def write_by_rules(brief: Brief, seed: str) -> list[Part]:
    """The parts of a script for this brief; `seed` picks among the sentences that fit."""
    templates = load(f"templates/{brief.language}")
    scene = brief.scene if brief.scene in templates["scenes"] else templates["default_scene"]
    sentences = Sentences(brief, templates, random.Random(seed))
    parts = [part for kind in templates["scenes"][scene] for part in sentences.take(kind)]
    return fit(parts, brief, sentences)


class Sentences:
    """The sentences that fit one brief, handed out without repeating one."""

    def __init__(self, brief: Brief, templates: Mapping[str, Any], chance: random.Random) -> None:
        self.brief = brief
        self.templates = templates
        self.chance = chance
        self.used: set[str] = set()
        words = templates["categories"].get(brief.category) or templates["categories"]["general"]
        self.pains = chance.sample(words["pains"], len(words["pains"]))
        self.questions = chance.sample(words["questions"], len(words["questions"]))
        self.points = list(brief.points)

    def take(self, kind: str) -> Iterator[Part]:
        """One more part of this kind, or none where every fitting sentence was said."""
        facts = self.facts()
        fitting = [row for row in self.templates["parts"][kind] if self.fits(row, facts)]
        if not fitting:
            return
        richest = max(rank(row) for row in fitting)
        row = self.chance.choice([row for row in fitting if rank(row) == richest])
        text = template(row["text"]).render(facts)
        if any(word in text for word in self.brief.banned):
            return
        self.used.add(row["text"])
        self.count_used(row["text"])
        yield Part(kind=kind, text=text, by="rules")

    def facts(self) -> dict[str, Any]:
        """The brief's facts with the next pain, question and selling points that were not said yet."""
        points = [*self.points, None, None]
        return {
            **self.brief.facts,
            "pain": next(iter(self.pains), None),
            "question": next(iter(self.questions), None),
            "point": points[0],
            "second_point": points[0] if len(self.points) < len(self.brief.points) else points[1],
        }

    def fits(self, row: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
        """Whether a sentence suits the tone, has the facts it needs and was not said before."""
        if row["text"] in self.used or row.get("tone", self.brief.tone) != self.brief.tone:
            return False
        said = [name for name in ("pain", "question") if f"{{{{{name}}}}}" in row["text"]]
        return all(facts.get(name) not in (None, "") for name in [*row.get("needs", ()), *said])

    def count_used(self, text: str) -> None:
        """Note what a sentence said, so that the next one says something else."""
        if "{{pain}}" in text:
            self.pains.pop(0)
        if "{{question}}" in text:
            self.questions.pop(0)
        if "point}}" in text and self.points:
            self.points.pop(0)


def rank(row: Mapping[str, Any]) -> tuple[int, int]:
    """How much a sentence says: more facts first, then one made for the tone."""
    return len(row.get("needs", ())), int("tone" in row)


@cache
def template(text: str) -> Template:
    """The compiled sentence."""
    return ENVIRONMENT.from_string(text)


def fit(parts: list[Part], brief: Brief, sentences: Sentences) -> list[Part]:
    """The parts brought to the asked length, as far as the sentences reach: middle ones go, or more of them come."""
    if not brief.target_length:
        return parts
    for kind in FILLERS * 4:
        if length_of(parts, brief) >= brief.target_length * (1 - TOLERANCE):
            break
        parts[-1:-1] = sentences.take(kind)
    while len(parts) > 2 and length_of(parts, brief) > brief.target_length * (1 + TOLERANCE):
        over = length_of(parts, brief) - brief.target_length
        closest = min(
            range(1, len(parts) - 1), key=lambda i: abs(spoken_length(parts[i]["text"], brief.language) - over)
        )
        del parts[closest]
    return parts


def length_of(parts: list[Part], brief: Brief) -> int:
    """The spoken length of all parts."""
    return sum(spoken_length(part["text"], brief.language) for part in parts)


def joined(parts: list[Part], language: str) -> str:
    """The script as one text, one part a line."""
    return "\n".join(part["text"] for part in parts)
