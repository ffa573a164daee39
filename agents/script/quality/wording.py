"""What must not be said in a text: the packs' rules, claims without a fact, made-up numbers, and bans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.script.brief import Brief, words_of
from agents.script.quality.facts import Known, facts_used, is_supported, unsupported_numbers
from agents.script.quality.finding import Finding, finding
from agents.script.quality.folding import Folded, fold
from agents.script.quality.matching import Hit, Spans
from agents.script.quality.packs import Rule
from agents.script.quality.shelf import Book, any_of, book
from agents.script.words import Language

# Whoever names a product may call it anything: a name excuses a claim of fact, never a cure or a state organ. A boast
# in the name by which the product's row calls it only tells the product from others, which the regulator's guide to
# absolute words of 2023 allows (article 6): it is told, for nobody here has seen the registration.
NAMES_EXCUSE = {"claim"}
NAMES_ARE_TOLD = {"absolute"}
REGISTERED = "registered-name"
REGISTERED_NAME = {
    "zh": "登记的商品名或品牌名里有绝对化用语，只能用来指代商品，请确认已经注册",
    "en": "registered name: the product's own name holds an absolute word, fine only to tell it from other products",
}
GUIDE = {
    "zh": "《广告绝对化用语执法指南》第六条",
    "en": "Guide to the enforcement of absolute words, article 6",
}
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
    found += [one for one in withheld(text, folded, brief, known) if not any(overlap(one, other) for other in found)]
    numbers = unsupported_numbers(text, folded, brief.language, known)
    found += [one for one in list(numbers) if not any(overlap(one, other) for other in found)]
    return sorted(found, key=lambda one: (one["start"], one["end"]))


def overlap(one: Finding, other: Finding) -> bool:
    """Whether two findings share a character."""
    return one["start"] < other["end"] and other["start"] < one["end"]


def by_packs(text: str, folded: Folded, brief: Brief, known: Known, packs: Book) -> Iterator[Finding]:
    """What the rule packs find, outside the names of things, which make no claim, and what the row supports."""
    tags = words_of(brief.row.get("compliance_tags"))
    matcher = packs.matcher(brief.language, brief.category, brief.facts.get("platform"), tags)
    names = Spans(span for name in known.names for span in spans_of(name, folded.text))
    labels = Spans(span for label in known.labels for span in spans_of(label, folded.text))
    registered = Spans(span for name in known.registered for span in spans_of(name, folded.text))

    def is_fine(hit: Hit) -> bool:
        rule = hit.named.rule
        if (rule.family in NAMES_EXCUSE and names.hold(hit.start, hit.end)) or labels.hold(hit.start, hit.end):
            return True
        return row_counts(rule, tags) and is_supported(hit, folded.text, known)

    kept, stopped = matcher.hits(folded, is_fine)
    for hit in kept:
        is_name = hit.named.rule.family in NAMES_ARE_TOLD and registered.hold(hit.start, hit.end)
        yield in_name(text, folded, hit, brief.language) if is_name else from_hit(text, folded, hit)
    if stopped:
        start, end = folded.original(stopped.start, stopped.end)
        yield finding("too-many-words", text, start, end, TOO_MANY[brief.language], family="unchecked")


def row_counts(rule: Rule, tags: Sequence[str]) -> bool:
    """Whether what a product's row says excuses the rule's words, with these tags."""
    if not rule.unless_in_row or any_of(rule.row_counts_not_with, tags):
        return False
    return not rule.row_counts_with or any_of(rule.row_counts_with, tags)


def in_name(text: str, folded: Folded, hit: Hit, language: Language) -> Finding:
    """The warning for words of a rule that stand in the product's own name."""
    start, end = folded.original(hit.start, hit.end)
    pack, rule = hit.named.pack, hit.named.rule
    message = f"{REGISTERED_NAME[language]}: {text[start:end]}"
    told = {"family": rule.family, "pack": pack.id, "version": pack.version, "article": GUIDE[language]}
    return finding(REGISTERED, text, start, end, message, severity="warning", **told)


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


def withheld(text: str, folded: Folded, brief: Brief, known: Known) -> Iterator[Finding]:
    """Facts that the request does not want told: 129元 where it says 别提价格. A brand within a name is none."""
    if not brief.withheld:
        return
    names = Spans(folded.original(*span) for name in known.names for span in spans_of(name, folded.text))
    for word, facts in brief.withheld.items():
        for used in facts_used(text, {**facts, "currency": brief.row.get("currency")}):
            if not names.hold(used["start"], used["end"]):
                message = f"{BANS['request'][brief.language]}: {word}"
                yield finding("request-ban", text, used["start"], used["end"], message, family="ban", pack="request")
