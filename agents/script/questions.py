"""What has to be asked before a script can be written, with choices; and what an answer makes of the request.

Only what cannot be guessed is asked. An opening for nobody in particular can be written; a change of a script that does
not exist, a batch of no products and "this one" without a product cannot. Pure: no clock, no storage.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from agents.script.data import load
from agents.script.intent.cues import Class
from agents.script.intent.reference import Pointed, Script, point, reference
from agents.script.intent.rules import Reading, read
from agents.script.intent.understanding import POINTS_BACK, category_label, settled
from agents.script.words import Language, language_of

THIS_ONE = re.compile(
    r"(?:这|那|我们?的?|咱们?的?)(?:一)?(?:款|个|支|瓶|件|双|套)?(?:产品|商品|宝贝|单品|东西|货)"
    r"|这[款支瓶件双]|\b(?:this|that|my|our|the) (?:product|item|one)\b",
    re.IGNORECASE,
)
ALL_THERE_IS = re.compile(
    r"商品库|产品库|所有|全部|全店|每(?:一)?(?:个|款)(?:商品|产品)?|\b(?:all|every)\b|\bcatalogue?\b", re.IGNORECASE
)
PASTED = {"zh": 60, "en": 200}  # characters: an answer this long is a script and no description of one
MOST_CHOICES, NAME_CHARACTERS = 6, 30
NEVER_MIND = re.compile(
    r"(?:算了|不用了?|不写了?|不改了?|取消|先不|没事了?|never ?mind|cancel|forget it|stop|no|nothing)[吧了啦。.!！~]*",
    re.IGNORECASE,
)
NEW_REQUEST = 0.9  # how sure the rules are of 写一段口红的开场, said instead of an answer
LIST_MARKS = re.compile(r"\s*(?:[、，,;；\n]|和(?!风)|以及|\band\b)\s*")
CHOICE_NUMBER = re.compile(r"[0-9]{1,2}")
MOST_CHARACTERS = 4000  # of an answer: rules read it in the worst case in quadratic time
MOST_BITS = 64  # of an answer that is a number: longer ones cannot even be written out
ANSWER_FIELDS = ("choice", "id", "text", "answer", "query", "value")


class Choice(TypedDict):
    """One thing to pick: its id, and how it reads."""

    id: str
    text: str


@dataclass(frozen=True)
class Question:
    """What is asked. kind: its key in data/questions.yaml."""

    kind: str
    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Known:
    """What a question is decided on: the understanding, the request, and what the session and its wishes tell."""

    intent: Mapping[str, Any]
    query: str
    wishes: Mapping[str, Any]
    scripts: tuple[Script, ...]

    @property
    def spoken(self) -> Language:
        """The request's own language, in which the question is asked; the script's may be another."""
        return language_of(self.query)

    @property
    def products(self) -> list[str]:
        """Products that the session spoke of, the newest first."""
        found: list[str] = []
        for script in reversed(self.scripts):
            said = read(script.asked, language_of(script.asked)).said
            found += [said["product"]] if said.get("product") else said.get("products", [])
        return list(dict.fromkeys(found))


def question_for(known: Known) -> Question | None:
    """What has to be asked, or None where all can be guessed."""
    intent: Class = known.intent["intent"]
    if intent in POINTS_BACK and not known.scripts:
        return without_script(known)
    if intent in POINTS_BACK and not known.intent["reference_certain"]:
        return asked(known, "which_script", script_choices(known.scripts))
    if intent == "modify" and not known.intent["reference"]["change"]:
        return asked(known, "what_change")
    if intent == "batch" and not known.intent["slots"]["products"] and not ALL_THERE_IS.search(known.query):
        return asked(known, "which_products", session_choice(known))
    if intent in ("generate", "continue") and is_about_some_product(known):
        return asked(known, "which_product", product_choices(known))
    return None


def without_script(known: Known) -> Question | None:
    """The question where a request points back to nothing; a continuation that says what to write needs none."""
    if known.intent["intent"] == "modify":
        return asked(known, "no_script")
    told = ("product", "category", "scene")
    return None if any(known.intent["said"].get(name) for name in told) else asked(known, "nothing_to_continue")


def is_about_some_product(known: Known) -> bool:
    """Whether the request speaks of one product and nobody said which."""
    slots = known.intent["slots"]
    named = slots["product"] or slots["category"] != "general" or known.wishes.get("category")
    pointing = THIS_ONE.search(known.query) or slots["scene"] in ("单品", "product")
    return bool(pointing and not named)


def asked(known: Known, kind: str, choices: Sequence[Choice] = ()) -> Question:
    """A question in the request's language, its own choices after those of the session."""
    words = load("questions")[known.spoken][kind]
    return Question(kind, words["question"], (*choices[:MOST_CHOICES], *words["choices"]))


def script_choices(scripts: Sequence[Script]) -> list[Choice]:
    """The session's scripts, the newest first, each by what was asked and how it begins."""
    return [
        Choice(id=f"script-{at + 1}", text=f"{script.asked[:NAME_CHARACTERS]} ({script.text[:NAME_CHARACTERS]}…)")
        for at, script in reversed(list(enumerate(scripts)))
    ]


def session_choice(known: Known) -> list[Choice]:
    """The products that the session spoke of, as one choice."""
    words = load("questions")[known.spoken]
    if not known.products:
        return []
    names = words["memory"]["comma"].join(known.products)
    return [Choice(id="session", text=words["which_products"]["session"].format(products=names))]


def product_choices(known: Known) -> list[Choice]:
    """Products of the session, or where it has none the categories."""
    if known.products:
        return [Choice(id=f"product-{at}", text=name) for at, name in enumerate(known.products, 1)]
    categories = load("lexicon")["categories"]
    return [Choice(id=code, text=category_label(code, None, known.spoken)) for code in categories]


# -- answers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answered:
    """What an answer makes of the request. intent: the understanding to go on with; stopped: "" or why not to go on."""

    intent: dict[str, Any]
    stopped: str = ""


def answered(known: Known, question: Question, answer: Any) -> Answered:
    """The request with its answer: a choice by id, by its text or by its number, or the creator's own words."""
    words = words_of(answer)
    choice = chosen(question, words)
    if choice == "stop" or not words or NEVER_MIND.fullmatch(words):
        return Answered(dict(known.intent), "stopped")
    if choice is None and question.kind in ("which_script", "what_change"):
        instead = read(words, language_of(words), earlier=True)
        if instead.intent == "generate" and instead.sure >= NEW_REQUEST:
            return Answered(again(known, "generate", instead.said))
    if question.kind in ("no_script", "nothing_to_continue"):
        return new_or_pasted(known, choice, words)
    if question.kind == "which_script":
        return Answered(with_script(known, choice, words))
    if question.kind == "what_change":
        return Answered(with_change(known, choice, words))
    if question.kind == "which_products":
        return with_products(known, choice, words)
    return with_product(known, question, choice, words)


def words_of(answer: Any) -> str:
    """The words of an answer, whichever form a client gave it, up to a length."""
    if isinstance(answer, Mapping):
        answer = next((answer[name] for name in ANSWER_FIELDS if answer.get(name)), "")
    if isinstance(answer, int) and answer.bit_length() > MOST_BITS:
        return ""
    return str(answer).strip()[:MOST_CHARACTERS] if isinstance(answer, str | int) else ""


def readable(question: Question, answer: Any) -> str:
    """An answer as a person would have said it: a choice's text, or the words themselves."""
    words = words_of(answer)
    choice = chosen(question, words)
    return next((one["text"] for one in question.choices if one["id"] == choice), words)


def chosen(question: Question, words: str) -> str | None:
    """The id of the choice that is named, or None for the creator's own words."""
    said = plain(words)
    if CHOICE_NUMBER.fullmatch(said) and 1 <= int(said) <= len(question.choices):
        return question.choices[int(said) - 1]["id"]
    return next((one["id"] for one in question.choices if said in (plain(one["id"]), plain(one["text"]))), None)


def plain(text: str) -> str:
    """A text as answers are compared: ① and a full-width １ are 1, and case does not count."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def new_or_pasted(known: Known, choice: str | None, words: str) -> Answered:
    """A new script where none was there to be changed, or the script that was pasted in."""
    if choice is None and known.intent["intent"] == "modify" and len(words) >= PASTED[known.spoken]:
        back = {**(known.intent["reference"] or {}), "text": words}
        return Answered({**known.intent, "reference": back, "reference_certain": True})
    own = {} if choice else read(words, language_of(words)).said
    return Answered(again(known, "generate", {**known.intent["said"], **own}))


def again(known: Known, intent: Class, said: Mapping[str, Any]) -> dict[str, Any]:
    """The understanding of another class, or with other slots."""
    reading = Reading(intent, {name: value for name, value in said.items() if value}, known.intent["confidence"])
    language, source = known.intent["language"], known.intent["source"]
    return settled(reading, known.query, language, known.wishes, known.scripts, source)


def with_script(known: Known, choice: str | None, words: str) -> dict[str, Any]:
    """The understanding with the script that is meant; where the answer names none, the newest."""
    before = known.intent["reference"]
    if choice is not None:
        at = min(int(choice.removeprefix("script-")), len(known.scripts)) - 1
    else:
        found = point(words, known.spoken, known.scripts).script
        at = len(known.scripts) - 1 if found is None else found
    script = known.scripts[at]
    back = {**before, "run_id": script.run_id, "turn": script.turn}
    reading = Reading(known.intent["intent"], dict(known.intent["said"]), 0.9)
    pointed = (back, Pointed(at, before["item"], True))
    language, source = known.intent["language"], known.intent["source"]
    return settled(reading, known.query, language, known.wishes, known.scripts, source, pointed)


CHANGES: dict[str, dict[str, str]] = {
    "shorter": {"length": "shorter"},
    "longer": {"length": "longer"},
    "tone": {"tone": "other"},
    "wording": {"wording": "other"},
    "polish": {"wording": "polish"},
}


def with_change(known: Known, choice: str | None, words: str) -> dict[str, Any]:
    """The understanding with what is to change; words that name no change are a wish for the new wording."""
    before = known.intent["reference"]
    if choice in CHANGES:
        return {**known.intent, "reference": {**before, "change": CHANGES[choice]}}
    said = read(words, language_of(words), earlier=True).said
    change = reference(words, known.spoken, known.scripts, said)[0]["change"]
    merged = again(known, "modify", {**known.intent["said"], **said})
    return {**merged, "reference": {**before, "change": change or {"wording": "other", "wish": words}}}


def with_products(known: Known, choice: str | None, words: str) -> Answered:
    """The understanding with the products of a batch; `catalogue` means all that the tenant has."""
    if choice == "catalogue" or (choice is None and ALL_THERE_IS.search(words)):
        return Answered({**known.intent, "slots": {**known.intent["slots"], "catalogue": True}})
    if choice == "session":
        names = known.products
    else:
        names = [name for name in LIST_MARKS.split(words) if 0 < len(name) <= NAME_CHARACTERS]
    if not names:
        return Answered(dict(known.intent), "open")
    return Answered(again(known, "batch", {**known.intent["said"], "products": names}))


def with_product(known: Known, question: Question, choice: str | None, words: str) -> Answered:
    """The understanding with the product or the category that it is about."""
    said = dict(known.intent["said"])
    if choice in load("lexicon")["categories"]:
        said["category"] = choice
    elif choice is not None:
        said["product"] = next(one["text"] for one in question.choices if one["id"] == choice)
    else:
        said |= read(words, language_of(words)).said
        if not said.get("product") and not said.get("category"):
            said["product"] = words[:NAME_CHARACTERS]
    return Answered(again(known, known.intent["intent"], said))


def known_from(intent: Mapping[str, Any], context: Mapping[str, Any], scripts: Sequence[Script]) -> Known:
    """What a run's first steps found out."""
    return Known(intent, context["query"], context["wishes"], tuple(scripts))


__all__ = ["Answered", "Choice", "Known", "Question", "answered", "known_from", "question_for", "readable"]
