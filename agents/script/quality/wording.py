"""What must not be said in a text: the packs' rules, claims without a fact, made-up numbers, and bans."""

from __future__ import annotations

from collections.abc import Iterator

from agents.script.brief import Brief
from agents.script.quality.facts import Known, is_supported, unsupported_numbers
from agents.script.quality.finding import Finding, finding
from agents.script.quality.folding import Folded, fold
from agents.script.quality.matching import Hit, Spans
from agents.script.quality.shelf import Book, book

# Whoever names a product may call it anything: a name excuses a claim of fact, never a boast, a cure or a state organ.
NAMES_EXCUSE = {"claim"}
TOO_MANY = {
    "zh": "违规的词太多，从这里起没有再检查",
    "en": "too many words that may not be said: from here on nothing was checked",
}
BANS = {
    "creator": {"zh": "达人不说的词", "en": "a word that the creator does not say"},
    "brand": {"zh": "品牌禁用的词", "en": "a word that the brand does not want"},
    "request": {"zh": "要求里不许说的词", "en": "a word that the request excludes"},
}


def wrong_words(text: str, brief: Brief, known: Known) -> list[Finding]:
    """Every finding of words in a text, in its order, without rewrites."""
    folded, packs = fold(text), book()
    found = [*by_packs(text, folded, brief, known, packs), *banned(text, folded, brief.language, known, packs)]
    numbers = unsupported_numbers(text, folded, brief.language, known)
    found += [one for one in list(numbers) if not any(overlap(one, other) for other in found)]
    return sorted(found, key=lambda one: (one["start"], one["end"]))


def overlap(one: Finding, other: Finding) -> bool:
    """Whether two findings share a character."""
    return one["start"] < other["end"] and other["start"] < one["end"]


def by_packs(text: str, folded: Folded, brief: Brief, known: Known, packs: Book) -> Iterator[Finding]:
    """What the rule packs find, outside the names of things, which make no claim, and what the row supports."""
    matcher = packs.matcher(brief.language, brief.category, brief.facts.get("platform"))
    names = Spans(span for name in known.names for span in spans_of(name, folded.text))
    labels = Spans(span for label in known.labels for span in spans_of(label, folded.text))

    def is_fine(hit: Hit) -> bool:
        rule = hit.named.rule
        if (rule.family in NAMES_EXCUSE and names.hold(hit.start, hit.end)) or labels.hold(hit.start, hit.end):
            return True
        return rule.unless_in_row and is_supported(hit, folded.text, known)

    kept, stopped = matcher.hits(folded, is_fine)
    yield from (from_hit(text, folded, hit) for hit in kept)
    if stopped:
        start, end = folded.original(stopped.start, stopped.end)
        yield finding("too-many-words", text, start, end, TOO_MANY[brief.language], family="unchecked")


def from_hit(text: str, folded: Folded, hit: Hit) -> Finding:
    """The finding of a rule's words."""
    start, end = folded.original(hit.start, hit.end)
    pack, rule, wording = hit.named.pack, hit.named.rule, hit.named.wording
    instead = hit.instead
    if instead and text[:start].rstrip(" ")[-1:] in ("", "\n", *".!?") and text[start:end][:1].upper() == text[start]:
        instead = instead[:1].upper() + instead[1:]
    return finding(
        f"{pack.id}-{rule.id}",
        text,
        start,
        end,
        f"{wording.reason}: {text[start:end]}",
        severity=rule.severity,
        family=rule.family,
        pack=pack.id,
        version=pack.version,
        article=wording.article or "",
        instead=instead,
    )


def spans_of(word: str, text: str) -> Iterator[tuple[int, int]]:
    """Every span where a folded word stands."""
    at = text.find(word) if word else -1
    while at >= 0:
        yield at, at + len(word)
        at = text.find(word, at + len(word))


def banned(text: str, folded: Folded, language: str, known: Known, packs: Book) -> Iterator[Finding]:
    """Words that the creator does not say, the brand does not want said, or the request excludes."""
    for whose, name, word in known.bans:
        message = BANS[whose][language] + (f" ({name})" if name else "")
        for match in packs.word(word).finditer(folded.text):
            start, end = folded.original(*match.span())
            yield finding(f"{whose}-ban", text, start, end, f"{message}: {word}", family="ban", pack=whose)
