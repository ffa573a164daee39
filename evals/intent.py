"""The intent sets measured: how often the class is right, and how many of the slots, by the rules alone.

    from evals.intent import run
    for row in run(): ...        {"set", "lines", "accuracy", "slot_f1", "slot_precision", "slot_recall", "references"}

A slot counts with its value: `tone: 活泼` where 专业 was meant is one wrong and one missing. Of a list every element
counts. References are right where script, part and change are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agents.script.intent.reference import Script
from agents.script.intent.understanding import by_rules
from agents.script.words import language_of

FOLDER = Path(__file__).parent / "intent"
SETS = ("tune", "held_out")
UNSAID = ("length", "wording", "language")  # changes that no slot says; "tone" too, where it is "other"


@dataclass(frozen=True)
class Judged:
    """One line, what was understood, and the slots that are right, wrong and missing."""

    line: Mapping[str, Any]
    seen: Mapping[str, Any]
    right: frozenset[tuple[str, str]]
    wrong: frozenset[tuple[str, str]]
    missing: frozenset[tuple[str, str]]
    class_right: bool
    reference_right: bool


def run() -> list[dict[str, Any]]:
    """A row of figures for each set."""
    return [figures(name, list(judged(name))) for name in SETS]


def wrong() -> list[str]:
    """What was misread in the set that the rules are made with. Nobody is to look at the other one line by line."""
    return [
        f"{one.line['say']}: {one.seen['intent']}, wrong {sorted(one.wrong)}, missing {sorted(one.missing)}"
        for one in judged("tune")
        if one.wrong or one.missing or not one.class_right
    ]


def lines(name: str) -> list[dict[str, Any]]:
    """The labelled lines of a set."""
    return list(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))["lines"])


def scripts_after(conversation: str | None) -> list[Script]:
    """The scripts that a conversation of sessions.yaml has given, as `load_context` would hand them over."""
    if conversation is None:
        return []
    turns = yaml.safe_load((FOLDER / "sessions.yaml").read_text(encoding="utf-8"))[conversation]
    said = [next(iter(turn.items())) for turn in turns]
    return [
        Script(turn=at + 1, run_id=None, asked=said[at - 1][1], text=text, items=len(text.splitlines()))
        for at, (role, text) in enumerate(said)
        if role == "assistant"
    ]


def judged(name: str) -> Iterator[Judged]:
    """Each line of a set beside what the rules understood."""
    for line in lines(name):
        yield judge(line)


def judge(line: Mapping[str, Any]) -> Judged:
    """One line understood and compared with its label."""
    scripts = scripts_after(line.get("after"))
    seen = by_rules(line["say"], language_of(line["say"]), {}, scripts)
    meant, found = pairs(line.get("slots") or {}), pairs(seen["said"])
    return Judged(
        line,
        seen,
        right=meant & found,
        wrong=found - meant,
        missing=meant - found,
        class_right=seen["intent"] == line["class"],
        reference_right=reference_seen(seen, scripts) == (line.get("reference") or None),
    )


def pairs(slots: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Every slot with its value, lists element by element."""
    return frozenset(
        (name, str(value).lower())
        for name, values in slots.items()
        for value in (values if isinstance(values, list) else [values])
        if value and value != "general"
    )


def reference_seen(seen: Mapping[str, Any], scripts: list[Script]) -> dict[str, Any] | None:
    """The understood reference in the form of the labels."""
    back = seen["reference"]
    if not back:
        return None
    place = next((at + 1 for at, script in enumerate(scripts) if script.turn == back["turn"]), None)
    change = {name: back["change"][name] for name in UNSAID if name in back["change"]}
    if back["change"].get("tone") == "other":
        change["tone"] = "other"
    return {
        name: value for name, value in (("script", place), ("item", back["item"]), ("change", change)) if value
    } or None


def figures(name: str, all_judged: list[Judged]) -> dict[str, Any]:
    """The figures of one set."""
    right = sum(len(one.right) for one in all_judged)
    wrong = sum(len(one.wrong) for one in all_judged)
    missing = sum(len(one.missing) for one in all_judged)
    pointing = [one for one in all_judged if one.line.get("reference")]
    return {
        "set": f"intent/{name}",
        "lines": len(all_judged),
        "accuracy": round(sum(one.class_right for one in all_judged) / len(all_judged), 4),
        "slot_precision": round(right / max(1, right + wrong), 4),
        "slot_recall": round(right / max(1, right + missing), 4),
        "slot_f1": round(2 * right / max(1, 2 * right + wrong + missing), 4),
        "references": round(sum(one.reference_right for one in pointing) / max(1, len(pointing)), 4),
    }
