"""A sentence said so that it passes: by replacement, else without the clause at fault, else another sentence.

Each way is checked before it is taken; what no way mends becomes "" and goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from agents.script.brief import Brief
from agents.script.quality.facts import Known
from agents.script.quality.finding import Finding
from agents.script.quality.sentences import CLAUSE, Sentence, sentences
from agents.script.quality.shelf import Book, book
from agents.script.quality.wording import wrong_words
from agents.script.words import spoken_length

SHORTEST = {"zh": 4, "en": 3}  # spoken: what is shorter is no sentence
LONG_ENOUGH = {"zh": 12, "en": 8}  # spoken: so much of a sentence stands on its own when a clause is taken out
ARTICLE = re.compile(r"\b([Aa])n? $")
MAX_MENDED = 60  # sentences; a text with more of them at fault is not worth mending


def with_rewrites(text: str, findings: Sequence[Finding], brief: Brief, known: Known) -> list[Finding]:
    """The findings, each with its sentence rewritten."""
    spans = [(one["start"], one["end"]) for one in findings]
    mended: dict[Sentence, str] = {}
    pieces, result = sentences(text, spans), []
    for one in findings:
        at = next((piece for piece in pieces if piece.start <= one["start"] < piece.end), None)
        if at is None or (at not in mended and len(mended) >= MAX_MENDED):
            result.append(one)
            continue
        if at not in mended:
            inside = [other for other in findings if at.start <= other["start"] < at.end]
            mended[at] = rewritten(text[at.start : at.end], at.start, inside, brief, known)
        result.append({**one, "rewrite": mended[at]})
    return result


def rewritten(sentence: str, offset: int, findings: Sequence[Finding], brief: Brief, known: Known) -> str:
    """One sentence so that nothing is found in it, or ""."""
    fine, long_enough = is_fine(brief, known), LONG_ENOUGH[brief.language]
    if said := next(filter(fine, replaced(sentence, offset, findings)), None):
        return said
    rest = next(filter(fine, without_clauses(sentence, offset, findings)), "")
    if spoken_length(rest, brief.language) >= long_enough:
        return rest
    # What is left of a short sentence hints at what was taken out of it.
    return next(filter(fine, fallbacks(sentence, findings, brief, book())), rest)


def is_fine(brief: Brief, known: Known) -> Callable[[str], bool]:
    """Whether a sentence says enough and nothing is found in it."""
    return lambda said: (
        spoken_length(said, brief.language) >= SHORTEST[brief.language]
        and not any(one["severity"] == "error" for one in wrong_words(said, brief, known))
    )


def replaced(sentence: str, offset: int, findings: Sequence[Finding]) -> Iterator[str]:
    """With the replacement in the place of each finding, where all have one."""
    if any(one["instead"] is None for one in findings):
        return
    said = sentence
    for one in sorted(findings, key=lambda one: -one["start"]):
        before, after = said[: one["start"] - offset], said[one["end"] - offset :]
        instead = str(one["instead"])
        if not before.strip() and not instead and after.lstrip()[:1].isascii():
            after = after.lstrip()[:1].upper() + after.lstrip()[1:]
        said = with_article(before, instead) + instead + after
    yield said


def with_article(before: str, instead: str) -> str:
    """English: "an anti-inflammatory" becomes "a calming"."""
    if match := ARTICLE.search(before):
        return before[: match.start()] + match[1] + ("n " if instead[:1].lower() in set("aeiou") else " ")
    return before


def without_clauses(sentence: str, offset: int, findings: Sequence[Finding]) -> Iterator[str]:
    """Without the clauses in which something is found: first those that no replacement mends, then all."""
    for keep_replaced in (True, False):
        kept = ""
        for match in CLAUSE.finditer(sentence):
            start, end = match.start() + offset, match.end() + offset
            inside = [one for one in findings if one["start"] < end and start < one["end"]]
            if not inside:
                kept += match.group()
            elif keep_replaced and all(start <= one["start"] and one["end"] <= end for one in inside):
                kept += next(replaced(match.group(), start, inside), "")
        yield ended(kept, sentence)


def ended(kept: str, sentence: str) -> str:
    """The kept clauses, ending as the sentence did."""
    closing = sentence.rstrip()[-1:]
    said = kept.strip().rstrip("，,、；;。！？!?.")
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    return lead + said[:1].upper() + said[1:] + (closing if closing in "。！？!?." else "") if said else ""


def fallbacks(sentence: str, findings: Sequence[Finding], brief: Brief, packs: Book) -> Iterator[str]:
    """What the rules say instead where nothing of a sentence can stay."""
    lead = sentence[: len(sentence) - len(sentence.lstrip())]
    for one in findings:
        wording = getattr(packs.rules.get(one["rule"]), brief.language, None)
        if wording is not None and wording.fallback:
            yield lead + wording.fallback
