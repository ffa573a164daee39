"""How good the rule-level writer is: varied, right in its facts, of the asked length, in the asked tone, and lawful.

    python -m evals writer        a row for each language, and one for fifty requests that differ in nothing but the run

`evals/writer/products.yaml` has the made-up goods. For each vertical fifty requests are drawn with a fixed seed.
`most_said`: the greatest share of a vertical's scripts that hold one and the same sentence, facts filled in.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from agents.script.brief import Brief, brief_from
from agents.script.quality.folding import plain
from agents.script.quality.sentences import sentences
from agents.script.rule_writer import joined, write_by_rules
from agents.script.rules import check
from agents.script.words import LANGUAGES, spoken_length
from agents.script.writing.parts import Part

FOLDER = Path(__file__).parent / "writer"
REQUESTS = 50  # a vertical
TOLERANCE = 0.15
LABELS = {"zh": "好物", "en": "shopping"}


@dataclass(frozen=True)
class Written:
    """A script and the brief that it was written for."""

    brief: Brief
    parts: Sequence[Part]

    @property
    def text(self) -> str:
        """The script as one text."""
        return joined(self.parts)

    @property
    def off(self) -> float:
        """How far its length is from the asked one, as a share of that."""
        asked = self.brief.target_length or 1
        return abs(spoken_length(self.text, self.brief.language) - asked) / asked


def goods() -> dict[str, Any]:
    """The content of products.yaml."""
    return dict(yaml.safe_load((FOLDER / "products.yaml").read_text(encoding="utf-8")))


def brief_of(language: str, category: str, product: Mapping[str, Any] | None, wish: Mapping[str, Any]) -> Brief:
    """The brief of a request, as the steps before the writer would make it. wish: slots, and a creator's name."""
    row = {**dict.fromkeys(("name", "price", "currency", "offer", "specification")), **(product or {})}
    label = yaml.safe_load((FOLDER / "labels.yaml").read_text(encoding="utf-8"))[language].get(category)
    intent = {"language": language, "intent": "generate", "slots": {name: wish.get(name) for name in wish}}
    return brief_from(
        {
            "load_context": {"query": "", "turns": []},
            "recognize_intent": intent,
            "fetch_profile": {
                "name": wish.get("creator"), "tone": None, "style": None, "catch_phrases": [], "banned": [],
            },
            "fetch_product": {
                "selling_points": [], **row, "known": product is not None, "category": category,
                "category_label": label or LABELS[language],
            },
        }
    )  # fmt: skip


def requests(language: str, category: str) -> Iterator[Brief]:
    """Fifty requests of one vertical."""
    known = goods()
    chance = random.Random(f"{language}/{category}")
    for number in range(REQUESTS):
        wish = {
            "tone": known["tones"][language][number % 4],
            "scene": chance.choice(known["scenes"][language]),
            "length_seconds": chance.choice(known["lengths_seconds"]),
            "occasion": chance.choice(known["occasions"][language]),
            "audience": chance.choice(known["audiences"][language]),
            "creator": chance.choice(known["creators"][language]),
            "must_say": chance.choice(known["must_say"][language]),
        }
        product = None if wish["scene"] in ("开场", "opening") else chance.choice(known[language][category])
        yield brief_of(language, category, product, wish)


def alike(language: str, category: str) -> Iterator[Brief]:
    """Fifty requests that ask for the same: one product, one tone, one minute."""
    known = goods()
    wish = {"tone": known["tones"][language][0], "length_seconds": 60, "creator": known["creators"][language][1]}
    for _ in range(REQUESTS):
        yield brief_of(language, category, known[language][category][0], wish)


def written(briefs: Iterator[Brief], seed: str) -> list[Written]:
    """A script for each brief."""
    return [Written(brief, write_by_rules(brief, f"{seed}/{number}")) for number, brief in enumerate(briefs)]


def errors_of(one: Written) -> list[str]:
    """What the quality rules find, and a part about a product that is never named."""
    brief = one.brief
    found = check(one.text, brief, cast(Any, one.parts))
    told = [f"{finding['rule']}: {finding['text']}" for finding in found]
    product = str(brief.facts.get("product") or "")
    if any(part["kind"] == "product" for part in one.parts) and plain(product) not in plain(one.text):
        told.append(f"product not named: {product}")
    return told


def most_said(scripts: Sequence[Written]) -> tuple[float, str]:
    """The greatest share of scripts that hold the same sentence, and that sentence."""
    counts: Counter[str] = Counter()
    for one in scripts:
        counts.update({one.text[start:end].strip() for start, end in sentences(one.text)})
    sentence, count = counts.most_common(1)[0]
    return count / len(scripts), sentence


def figures(name: str, by_vertical: Mapping[str, Sequence[Written]]) -> dict[str, object]:
    """A row of figures over all verticals."""
    every = [one for scripts in by_vertical.values() for one in scripts]
    return {
        "set": name,
        "scripts": len(every),
        "distinct": min(len({one.text for one in scripts}) for scripts in by_vertical.values()),
        "most said": f"{max(most_said(scripts)[0] for scripts in by_vertical.values()):.0%}",
        "length off, worst": f"{max(one.off for one in every):.1%}",
        "out of length": sum(one.off > TOLERANCE for one in every),
        "findings": sum(len(errors_of(one)) for one in every),
    }


def verticals() -> list[str]:
    """The verticals of the set."""
    return list(goods()["zh"])


def run() -> list[dict[str, object]]:
    """The rows that `python -m evals writer` shows."""
    rows = []
    for language in LANGUAGES:
        for kind, briefs in (("different", requests), ("alike", alike)):
            scripts = {name: written(briefs(language, name), name) for name in verticals()}
            rows.append(figures(f"{language}/{kind}", scripts))
    return rows


def wrong() -> list[str]:
    """Every finding, every script out of length, and the sentence that is said in most scripts of a vertical."""
    told: list[str] = []
    for language in LANGUAGES:
        for name in verticals():
            scripts = written(requests(language, name), name)
            share, sentence = most_said(scripts)
            told.append(f"{language}/{name}: {share:.0%} say {sentence!r}")
            told += [f"{language}/{name}: {error}" for one in scripts for error in errors_of(one)]
            off = (one for one in scripts if one.off > TOLERANCE)
            told += [f"{language}/{name}: {one.off:.0%} off {one.brief.target_length}" for one in off]
    return told
