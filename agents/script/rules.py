"""The quality rules: what must not be said and what must, each finding with its place in the text.

Words and messages stand in `data/rules.yaml`; this file only looks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.words import CHINESE, find_word, has_any, spoken_length

NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
SENTENCE = re.compile(r"[^。！？!?.\n]+[。！？!?.]*")


class Finding(TypedDict):
    """One thing wrong: the rule, how bad ("error" fails the script), where it stands, and what may replace it."""

    rule: str
    severity: str
    start: int
    end: int
    text: str
    message: str
    instead: str | None


def check(script: str, brief: Brief, *, by_model: bool) -> list[Finding]:
    """Every finding in a script, in the order of the text. A model's numbers must stand in the brief's facts."""
    findings = [
        *check_words(script, brief, by_model=by_model),
        *wrong_length(script, brief, load("rules")["length"][brief.language]),
        *missing_subject(script, brief),
        *wrong_language(script, brief),
    ]
    return sorted(findings, key=lambda finding: (finding["start"], finding["end"]))


def check_words(text: str, brief: Brief, *, by_model: bool) -> list[Finding]:
    """What must not be said, in a script or in a part of one."""
    rules = load("rules")
    return [
        *forbidden(text, rules["absolute"][brief.language], brief),
        *forbidden(text, rules["medical"][brief.language], brief),
        *banned(text, brief),
        *repeated(text),
        *(unsupported_numbers(text, brief) if by_model else ()),
    ]


def forbidden(script: str, rule: Mapping[str, Any], brief: Brief) -> Iterator[Finding]:
    """The rule's words, longest first, outside their innocent uses and outside the product's own name."""
    taken = [span for word in rule["innocent"] for span in places(word, script, brief)]
    taken += [
        span
        for name in (brief.facts["product"], brief.facts["creator"])
        if name
        for span in places(str(name), script, brief)
    ]
    for entry in sorted(rule["words"], key=lambda entry: -len(entry["word"])):
        for start, end in places(entry["word"], script, brief):
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            taken.append((start, end))
            message = f"{rule['message']}: {script[start:end]}"
            yield finding(rule["id"], rule["severity"], script, start, end, message, entry.get("instead"))


def places(word: str, script: str, brief: Brief) -> Iterator[tuple[int, int]]:
    """Every span where a word stands."""
    at = find_word(word, script, brief.language)
    while at >= 0:
        yield at, at + len(word)
        at = find_word(word, script, brief.language, at + len(word))


def banned(script: str, brief: Brief) -> Iterator[Finding]:
    """Words that this creator does not say."""
    for word in brief.banned:
        for start, end in places(word, script, brief):
            yield finding("creator-ban", "error", script, start, end, f"{brief.facts['creator']}: {word}", None)


def wrong_length(script: str, brief: Brief, rule: Mapping[str, Any]) -> Iterator[Finding]:
    """A script that is far too short or too long; a length that was asked for is missed by more than half."""
    length = spoken_length(script, brief.language)
    low, high = rule["from"], rule["to"]
    if brief.target_length:
        low, high = round(brief.target_length * 0.5), round(brief.target_length * 1.5)
    if not low <= length <= high:
        message = f"{length} {rule['unit']}; {low} to {high}"
        yield finding(rule["id"], "error", script, 0, len(script), message, None)


def missing_subject(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that names neither the product nor its category."""
    words = [str(brief.facts[name]) for name in ("product", "category") if brief.facts[name]]
    categories = load("lexicon")["categories"]
    if brief.category in categories:
        words += categories[brief.category][brief.language]["words"]
    if not has_any(words, script, brief.language):
        yield finding("subject", "error", script, 0, len(script), f"names none of: {', '.join(words[:2])}", None)


def repeated(script: str) -> Iterator[Finding]:
    """A sentence that was said before in the same script."""
    seen: set[str] = set()
    for match in SENTENCE.finditer(script):
        said = match.group().strip().lower()
        if len(said) > 12 and said in seen:
            yield finding("repetition", "error", script, match.start(), match.end(), "said twice", None)
        seen.add(said)


def wrong_language(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that is not in the language of the request."""
    chinese = len(CHINESE.findall(script))
    named = sum(len(CHINESE.findall(str(value))) for value in brief.facts.values() if value)
    if (brief.language == "zh" and chinese < len(script) / 4) or (brief.language == "en" and chinese > named):
        yield finding("language", "error", script, 0, len(script), f"not in {brief.language}", None)


def unsupported_numbers(script: str, brief: Brief) -> Iterator[Finding]:
    """Numbers that no fact of the brief holds: a model made them up."""
    given = numbers_in([brief.query, *brief.points, *(str(value) for value in brief.facts.values() if value)])
    for match in NUMBER.finditer(script):
        if match.group() not in given:
            message = f"no fact says {match.group()}"
            yield finding("fact-number", "error", script, match.start(), match.end(), message, None)


def numbers_in(texts: Iterable[str]) -> set[str]:
    """Every number that stands in the texts."""
    return {number for text in texts for number in NUMBER.findall(text)}


def finding(rule: str, severity: str, script: str, start: int, end: int, message: str, instead: str | None) -> Finding:
    """A Finding over script[start:end]; its text is shown up to 60 characters."""
    return Finding(
        rule=rule,
        severity=severity,
        start=start,
        end=end,
        text=script[start:end][:60],
        message=message,
        instead=instead,
    )
