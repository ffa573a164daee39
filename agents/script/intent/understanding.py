"""From a reading to the understanding that the chain goes on with: slots of the request, its script and its session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.data import load
from agents.script.intent.marks import LABELLED
from agents.script.intent.reference import Pointed, Script, reference
from agents.script.intent.rules import Reading, read
from agents.script.words import LANGUAGES, Language, has_any, language_of

POINTS_BACK = ("modify", "continue")
STARTS_ANEW = ("generate", "batch")
SINGLE = (*LABELLED, "product", "length_seconds")
STRICT = ("scene", "tone")  # templates hang on them: only the lexicon's labels; the others are said as they are
LISTS = ("must_say", "must_not_say", "products")


def by_rules(query: str, language: Language, wishes: Mapping[str, Any], scripts: Sequence[Script]) -> dict[str, Any]:
    """A request understood by the rules; see `recognize_intent` for what is in it. language: that of the script."""
    reading = read(query, language_of(query), earlier=bool(scripts))
    return settled(reading, query, language, wishes, scripts, "rules")


def settled(
    reading: Reading,
    query: str,
    language: Language,
    wishes: Mapping[str, Any],
    scripts: Sequence[Script],
    source: str,
    pointed_to: tuple[dict[str, Any], Pointed] | None = None,
) -> dict[str, Any]:
    """The understanding of a reading. What the request says beats its script, and that beats the session's wishes."""
    back, pointed = None, Pointed(None, None, False)
    if reading.intent in POINTS_BACK:
        back, pointed = pointed_to or reference(query, language_of(query), scripts, reading.said)
    inherited = slots_of_script(scripts, pointed.script) if pointed.script is not None else {}
    said = in_language(reading.said, language)
    return {
        "intent": reading.intent,
        "class": reading.intent,
        "language": language,
        "slots": slots_from({**in_language(inherited, language), **said}, wishes, language),
        "said": said,
        "reference": {**back, "change": in_language(back["change"], language)} if back else None,
        "reference_certain": pointed.certain,
        "confidence": round(min(0.95, reading.sure * (1 if pointed.certain or back is None else 0.7)), 2),
        "source": source,
    }


def slots_of_script(scripts: Sequence[Script], at: int) -> dict[str, Any]:
    """What an earlier script was about: its own request's slots, over those of the script that it went on from."""
    known: dict[str, Any] = {}
    for script in scripts[: at + 1]:
        reading = read(script.asked, language_of(script.asked), earlier=bool(known))
        if reading.intent in STARTS_ANEW:
            known = {}
        known |= {name: value for name, value in reading.said.items() if name != "products"}
    return known


def in_language(said: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """The slots with their labels in the script's language: a Chinese wish may be for an English script."""
    pairs = load("lexicon")["in_english"]
    other = pairs if language == "en" else {english: chinese for chinese, english in pairs.items()}
    labels = load("lexicon")
    return {
        name: other.get(value, value) if name in LABELLED and value not in labels[LABELLED[name]][language] else value
        for name, value in said.items()
    }


def slots_from(said: Mapping[str, Any], wishes: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Every slot by its name: what was said, else what the session wished; None, or an empty list, for neither."""
    lexicon = load("lexicon")
    slots: dict[str, Any] = {name: said.get(name) for name in SINGLE}
    for name in LABELLED:
        labels = lexicon[LABELLED[name]][language]
        if slots[name] not in labels and (slots[name] is None or name in STRICT):
            slots[name] = wished_label(labels, wishes.get(name), language) or free_label(name, wishes)
    category = said.get("category") or category_in(str(wishes.get("category") or ""), None)
    slots["category"] = category or "general"
    slots["category_label"] = category_label(category, wishes.get("category") or said.get("product"), language)
    slots["product"] = product_meant(slots["product"], wishes.get("product"))
    slots["length_seconds"] = slots["length_seconds"] or wishes.get("length_seconds")
    for name in LISTS:
        slots[name] = list(said.get(name) or wishes.get(name) or [])
    return slots


def wished_label(labels: Mapping[str, Any], wished: Any, language: Language) -> str | None:
    """A session's wish as one of the labels: the label itself, or a word that means it."""
    if not wished or str(wished) in labels:
        return str(wished) if wished else None
    meant = (label for label, words in labels.items() if has_any(map(str, words), str(wished), language))
    return next((str(label) for label in meant), None)


def product_meant(said: Any, wished: Any) -> Any:
    """The product: the wished one, with its facts or its whole name, where the request only names it again."""
    name = str(wished.get("name") or "") if isinstance(wished, Mapping) else str(wished or "")
    aliases = wished.get("aliases") or () if isinstance(wished, Mapping) else ()
    same = said and any(
        str(said).casefold() in one or one in str(said).casefold()
        for one in (str(alias).casefold() for alias in (name, *aliases))
        if one
    )
    return wished if same or not said else said


def free_label(name: str, wishes: Mapping[str, Any]) -> str | None:
    """A session's own audience, occasion or platform, which scripts may name as it is; scene and tone are labels."""
    wished = wishes.get(name)
    return str(wished) if wished and name not in STRICT else None


def category_in(text: str, language: Language | None, *, goods: bool = False) -> str | None:
    """The code of the category that a text names, in one language or (None) in any; goods: or names a product of."""
    categories = load("lexicon")["categories"]
    if text in categories:
        return text
    for code, names in categories.items():
        for spoken in [language] if language else LANGUAGES:
            words = (*names[spoken]["words"], *names[spoken]["kinds"], *(names[spoken]["goods"] if goods else ()))
            if has_any(map(str, words), text, spoken):
                return str(code)
    return None


def category_label(code: str | None, wished: Any, language: Language) -> str:
    """The category as it is said aloud: the lexicon's word, or the session's own where the lexicon has none."""
    if code:
        return str(load("lexicon")["categories"][code][language]["label"])
    return str(wished) if wished and not isinstance(wished, Mapping) else {"zh": "好物", "en": "shopping"}[language]
