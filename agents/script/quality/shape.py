"""The shape of a script: its length, language and subject, what is said twice, its parts, and the creator's voice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.script.brief import Brief, notices_of
from agents.script.data import load
from agents.script.quality.finding import Finding, finding
from agents.script.quality.folding import plain
from agents.script.quality.sentences import sentences
from agents.script.words import CHINESE, has_any, spoken_length
from agents.script.writing.plan import in_own_voice, kinds_of

LENGTH = {"zh": (60, 700, "字"), "en": (40, 320, "words")}  # spoken, of a whole script
ALLOWED_MISS = 0.5  # of a length that was asked for
SHORTEST_REPEATED = 12  # characters: "好不好？" may come again
FEWEST_PARTS = 2


def wrong_length(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that is far too short or too long; a length that was asked for is missed by more than half."""
    length = spoken_length(script, brief.language)
    low, high, unit = LENGTH[brief.language]
    if brief.target_length:
        low, high = round(brief.target_length * (1 - ALLOWED_MISS)), round(brief.target_length * (1 + ALLOWED_MISS))
    if not low <= length <= high:
        yield finding("length", script, 0, len(script), f"{length} {unit}; {low} to {high}", pack="shape")


def missing_subject(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that names neither the product nor its category."""
    words = [str(brief.facts[name]) for name in ("product", "category") if brief.facts.get(name)]
    categories = load("lexicon")["categories"]
    if brief.category in categories:
        words += categories[brief.category][brief.language]["words"]
    if not has_any(words, script, brief.language):
        yield finding("subject", script, 0, len(script), f"names none of: {', '.join(words[:2])}", pack="shape")


def repeated(script: str) -> Iterator[Finding]:
    """A sentence that was said before in the same script."""
    seen: set[str] = set()
    for start, end in sentences(script):
        said = plain(script[start:end]).strip()
        if len(said) > SHORTEST_REPEATED and said in seen:
            yield finding("repetition", script, start, end, "said twice", pack="shape", rewrite="")
        seen.add(said)


def wrong_language(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that is not in the language of the request."""
    chinese = len(CHINESE.findall(script))
    named = sum(len(CHINESE.findall(str(value))) for value in brief.facts.values() if value)
    if (brief.language == "zh" and chinese < len(script) / 4) or (brief.language == "en" and chinese > named):
        yield finding("language", script, 0, len(script), f"not in {brief.language}", pack="shape")


def wrong_structure(script: str, brief: Brief, parts: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Parts that the scene expects and the script has not. How it begins and ends is heard, so it is told."""
    expected, kinds = kinds_of(brief), [part["kind"] for part in parts]
    if len(kinds) < min(FEWEST_PARTS, len(expected)):
        message = f"{len(kinds)} of {len(expected)} parts"
        yield finding("structure", script, 0, len(script), message, pack="shape", severity="warning")
    if not set(kinds) & set(expected):
        return  # a model's paragraphs that nobody named
    for kind in (expected[0], expected[-1]):
        if kind not in kinds:
            message = {"zh": f"缺少环节：{kind}", "en": f"a part is missing: {kind}"}[brief.language]
            yield finding("structure", script, 0, len(script), message, pack="shape", severity="warning")


def wrong_voice(script: str, brief: Brief) -> Iterator[Finding]:
    """A script that does not sound like its creator, or not like the asked tone: told, and never refused."""
    heard = plain(script)
    if in_own_voice(brief) and not any(plain(phrase) in heard for phrase in brief.catch_phrases):
        message = {"zh": "没有用到达人的口头禅", "en": "none of the creator's catch-phrases"}[brief.language]
        yield finding("style", script, 0, len(script), message, pack="shape", severity="warning")
    clashing = load("tone_words").get(brief.language, {}).get(brief.tone, [])
    for word in clashing:
        at = script.lower().find(word.lower())
        if at >= 0:
            message = {"zh": f"与{brief.tone}的语气不符", "en": f"not in a {brief.tone} tone"}[brief.language]
            yield finding("style", script, at, at + len(word), f"{message}: {word}", pack="shape", severity="warning")


def unsaid(script: str, brief: Brief) -> Iterator[Finding]:
    """What the request wants said, and the script does not say."""
    heard = plain(script)
    for word in brief.must_say:
        if word.strip() and word not in brief.statements and plain(word) not in heard:
            message = {"zh": f"没有说到：{word}", "en": f"it does not say: {word}"}[brief.language]
            yield finding("must-say", script, 0, len(script), message, pack="shape", severity="warning")


def of_product(script: str, brief: Brief) -> Iterator[Finding]:
    """What the packs of the product's kind want said in every script of it, or told of it."""
    heard = plain(script)
    for pack, notice, told in notices_of(brief):
        said = notice.say(brief.language)
        if said is None or plain(said) not in heard:
            yield finding(
                f"{pack.id}-{notice.id}",
                script,
                0,
                len(script),
                told.reason,
                severity=notice.severity,
                family=notice.family,
                pack=pack.id,
                version=pack.version,
                article=told.article or "",
            )
