"""What a request points back to: which earlier script, which part of it, and what is to change.

    {"run_id", "turn", "item", "change"} for 「第二条改短」, "the last part, please rewrite"

`item` is a part of the script, a line of its text, from 1. `change` has what no slot says (length shorter or longer,
tone or wording other, polish or drop, language) and beside it the slots that the request fills; {"wish": the request}
where it asks for something else, and nothing where it does not say what.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.script.data import load
from agents.script.intent.cues import NO_LETTERS, pattern, pointing
from agents.script.intent.goods import named_goods
from agents.script.intent.lengths import number
from agents.script.intent.marks import marks, normal
from agents.script.words import Language

NUMBER = r"[一二两三四五六七八九十]{1,7}|\d{1,3}"
WHOLE = r"[个条版篇份款稿套]"
PIECE = r"[段句点行]|部分|小节"
NTH = re.compile(rf"(?P<back>倒数)?第(?P<n>{NUMBER})(?:(?P<whole>{WHOLE})|(?P<piece>{PIECE}))")
NTH_EN = re.compile(
    r"\b(?P<n>first|second|third|fourth|fifth|last|1st|2nd|3rd|4th) "
    r"(?P<what>one|script|version|pitch|part|line|paragraph|sentence|bit)\b",
    re.IGNORECASE,
)
ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "fifth": 5}
WHOLES_EN = ("one", "script", "version", "pitch")
LAST_PIECE = pointing("last_piece")
FIRST_PIECE = pointing("first_piece")
MIDDLE_PIECE = pointing("middle_piece")
BEFORE_LAST = pointing("before_last")
POINTING = pointing("pointing")
NEWEST = pointing("newest")
SHORTER = pointing("shorter")
LONGER = pointing("longer")
OTHER_TONE = pointing("other_tone")
OTHER_WORDING = pointing("other_wording")
POLISH = pointing("polish")
DROP = pointing("drop")
TRANSLATE = pointing("translate")
VAGUE = pattern(load("cues")["vague"])
LANGUAGES_NAMED = (
    (re.compile(r"英[文语]|\benglish\b", re.IGNORECASE), "en"),
    (re.compile(r"中文|汉语|\bchinese\b", re.IGNORECASE), "zh"),
)


@dataclass(frozen=True)
class Script:
    """A script of the session. asked: the request that it answered; items: how many parts it has (0: not known)."""

    turn: int | None
    run_id: str | None
    asked: str
    text: str
    items: int


@dataclass(frozen=True)
class Pointed:
    """Where a request points: the script's place in the session (None: nowhere) and the part of it.

    certain: whether the words or the order of things leave no choice.
    """

    script: int | None
    item: int | None
    certain: bool


def reference(
    query: str, language: Language, scripts: Sequence[Script], said: Mapping[str, Any]
) -> tuple[dict[str, Any], Pointed]:
    """What the request points back to, and how certain that is. No script at all: run_id and turn are None."""
    text = normal(query)
    pointed = point(text, language, scripts)
    script = scripts[pointed.script] if pointed.script is not None else None
    wanted = {name: value for name, value in said.items() if name not in ("category", "products")}
    changes = {**wanted, **change(text, wanted, pointed.item)}
    if not changes and NO_LETTERS.sub("", VAGUE.sub("", text)):
        changes = {"wish": query}  # 定价改成八十: a change that has no name of its own
    return {
        "run_id": script.run_id if script else None,
        "turn": script.turn if script else None,
        "item": pointed.item,
        "change": changes,
    }, pointed


def point(text: str, language: Language, scripts: Sequence[Script]) -> Pointed:
    """Which of the session's scripts is meant, and which part of it."""
    if not scripts:
        return Pointed(None, None, False)
    newest = len(scripts) - 1
    nth = counted(text, scripts)
    if nth is not None:
        return nth
    if BEFORE_LAST.search(text):
        return Pointed(max(0, newest - 1), None, True)
    by_name = naming(text, language, scripts)
    at = by_name if by_name is not None else newest
    item = piece(text, scripts[at])
    if by_name is None and item == 1 and POINTING.search(text) and (opening := about_opening(scripts)) is not None:
        return Pointed(opening, None, True)  # 之前写的开场: a script that was one, not the first part of the newest
    certain = by_name is not None or bool(NEWEST.search(text)) or not POINTING.search(text)
    return Pointed(at, item, certain or len({one.asked for one in scripts}) < 2)


def counted(text: str, scripts: Sequence[Script]) -> Pointed | None:
    """A script or a part that is meant by its number."""
    found = NTH.search(text)
    if found:
        n = int(number(found["n"])) or 1
        whole = bool(found["whole"])
        back = bool(found["back"])
    elif (found := NTH_EN.search(text)) is not None:
        n, whole = ORDINALS.get(found["n"].lower(), -1), found["what"].lower() in WHOLES_EN
        back, n = n < 0, abs(n)
    else:
        return None
    newest = len(scripts) - 1
    if whole and len(scripts) > 1:
        at = len(scripts) - n if back else n - 1
        return Pointed(at, None, True) if 0 <= at <= newest else Pointed(newest, None, False)
    items = scripts[newest].items
    return Pointed(newest, (items + 1 - n if items else None) if back else n, True)


def piece(text: str, script: Script) -> int | None:
    """The part of a script that is meant by its place: its beginning, its middle or its end."""
    if LAST_PIECE.search(text):
        return script.items or None
    if FIRST_PIECE.search(text):
        return 1
    if MIDDLE_PIECE.search(text):
        return (script.items + 1) // 2 if script.items else None
    return None


def about_opening(scripts: Sequence[Script]) -> int | None:
    """The newest script that was asked for as an opening."""
    return next((at for at in reversed(range(len(scripts))) if FIRST_PIECE.search(scripts[at].asked)), None)


def naming(text: str, language: Language, scripts: Sequence[Script]) -> int | None:
    """The newest script that speaks of a product named in the text."""
    for one in named_goods(text, marks(text, language), language):
        for at in reversed(range(len(scripts))):
            if one.name.lower() in f"{scripts[at].asked}\n{scripts[at].text}".lower():
                return at
    return None


def change(text: str, said: Mapping[str, Any], item: int | None) -> dict[str, Any]:
    """What is to change that no slot says."""
    found: dict[str, Any] = {}
    if SHORTER.search(text):
        found["length"] = "shorter"
    elif LONGER.search(text):
        found["length"] = "longer"
    if OTHER_TONE.search(text) and not said.get("tone"):
        found["tone"] = "other"
    if OTHER_WORDING.search(text):
        found["wording"] = "other"
    elif POLISH.search(text):
        found["wording"] = "polish"
    elif item is not None and DROP.search(text):
        found["wording"] = "drop"
    if TRANSLATE.search(text):
        named = [code for words, code in LANGUAGES_NAMED if words.search(text)]
        found |= {"language": named[0]} if named else {}
    return found
