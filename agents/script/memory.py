"""What a session remembers: its last turns as they were said, and of the older ones what still matters.

Two limits hold: a number of turns (`session_turns`, by tenant) and a number of tokens (`session_memory_tokens`). What
does not fit is folded into a summary: products, wishes, bans, an index of the scripts, and a text of a few lines. It
is kept in the session (`storage.sessions.keep_memory`), so that each turn is folded once. Reading never waits for that:
turns that are not folded yet are folded on the way, by extraction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.script.data import load
from agents.script.intent.rules import read
from agents.script.words import language_of
from gateway.request import TOKENS_A_MESSAGE, estimated_tokens
from node import Context, Final, Pause, Retry
from settings import settings
from storage import sessions

Turn = Mapping[str, Any]
SCRIPT, BATCH, ANSWER = "script", "batch", "answer"  # kinds of turns: what the user got
FOLD_FROM = 4  # turns over the limit, before they are folded for good: not with every run
MOST_SCRIPTS, MOST_WORDS = 20, 20
FIRST_CHARACTERS, ASKED_CHARACTERS, SCRIPT_CHARACTERS = 80, 300, 1500
SUMMARY_TOKENS = 300
LASTING = ("tone", "audience", "platform", "occasion", "length_seconds")
SENTENCE_END = re.compile(r"(?<=[。！？!?])|(?<=\.)\s|\n")


@dataclass(frozen=True)
class Memory:
    """What a run knows of its session.

    turns: the last ones, {"no", "run_id", "role", "content", "kind"}; folded: what the older ones said, {} for none;
    scripts: every script that can be pointed back to, oldest first, in the fields of `reference.Script`;
    bans: words that any turn forbade and no later one wanted said;
    waiting: how many turns are folded on the way and not for good.
    """

    turns: tuple[Turn, ...]
    folded: Mapping[str, Any]
    scripts: tuple[dict[str, Any], ...]
    bans: tuple[str, ...]
    waiting: int

    @property
    def summary(self) -> str:
        """The older turns in a few lines, or an empty text."""
        return str(self.folded.get("text") or "")


def recall(tenant_id: str, session_id: str, *, without_run: str | None = None) -> Memory:
    """What the session remembers; `without_run` is the run that asks, whose own turns are not its past."""
    folded, turns = sessions.remembered(tenant_id, session_id)
    turns = [turn for turn in turns if turn["run_id"] != without_run]
    older, last = divided(turns, turns_kept(tenant_id), tokens_kept() - SUMMARY_TOKENS)
    known = folded_with(folded, older) if older else folded
    scripts = (*known.get("scripts", ()), *scripts_of(last, characters=SCRIPT_CHARACTERS))
    bans, _ = wordings(last, known.get("bans", ()), known.get("must_say", ()))
    return Memory(tuple(last), known, tuple(as_script(one) for one in scripts), tuple(bans), len(older))


def tidy(tenant_id: str, session_id: str, ctx: Context) -> bool:
    """Fold for good what has grown over the limits; whether anything was. Never fails the run for want of a model."""
    folded, turns = sessions.remembered(tenant_id, session_id)
    older, _ = divided(turns, turns_kept(tenant_id), tokens_kept() - SUMMARY_TOKENS)
    if len(older) < FOLD_FROM:
        return False
    known = folded_with(folded, older)
    if text := told_by_model(known, older, ctx):
        known = {**known, "text": text, "by": "model"}
    return sessions.keep_memory(tenant_id, session_id, known)


def turns_kept(tenant_id: str) -> int:
    """How many turns this tenant's sessions keep word by word."""
    for one in settings().session_turns_by_tenant.split(","):
        tenant, _, number = one.partition("=")
        if tenant.strip() == tenant_id and number.strip().isdigit():
            return max(2, int(number))
    return settings().session_turns


def tokens_kept() -> int:
    """How many tokens of a prompt the session's turns and their summary may take."""
    return max(2 * SUMMARY_TOKENS, settings().session_memory_tokens)


def divided(turns: Sequence[Turn], most: int, tokens: int) -> tuple[list[Turn], list[Turn]]:
    """(older turns, the last ones that fit both limits). The last ones begin with what a user said.

    The newest turn is kept whatever its length, cut to the tokens that there are.
    """
    last: list[Turn] = []
    for turn in reversed(turns[-most:]):
        cost = TOKENS_A_MESSAGE + estimated_tokens(turn["content"])
        if cost > tokens and last:
            break
        last.insert(0, turn if cost <= tokens else {**turn, "content": cut(turn["content"], max(40, tokens))})
        tokens -= cost
    while len(last) > 1 and last[0]["role"] == "assistant":
        last.pop(0)
    return list(turns[: len(turns) - len(last)]), last


def cut(text: str, tokens: int) -> str:
    """The beginning of a text, of at most about so many tokens."""
    keep = len(text)
    while keep > 1 and estimated_tokens(text[:keep]) > tokens:
        keep = keep * 3 // 4
    return text if keep == len(text) else f"{text[:keep]}…"


def folded_with(folded: Mapping[str, Any], older: Sequence[Turn]) -> dict[str, Any]:
    """The memory with these turns added to it, by extraction. Pure: the same turns give the same memory."""
    products, wishes = list(folded.get("products", ())), dict(folded.get("wishes", {}))
    language = str(folded.get("language") or "zh")
    for turn in older:
        if turn["role"] != "user":
            continue
        language = language_of(turn["content"])
        said = read(turn["content"], language, earlier=True).said
        products += [said["product"]] if said.get("product") else said.get("products", [])
        wishes |= {name: said[name] for name in LASTING if name in said}
    bans, must_say = wordings(older, folded.get("bans", ()), folded.get("must_say", ()))
    known = {
        "upto": older[-1]["no"],
        "language": language,
        "products": newest(products),
        "wishes": wishes,
        "bans": newest(bans),
        "must_say": newest(must_say),
        "scripts": [*folded.get("scripts", ()), *scripts_of(older)][-MOST_SCRIPTS:],
        "by": "rules",
    }
    return {**known, "text": cut(told(known), SUMMARY_TOKENS)}


def wordings(turns: Sequence[Turn], bans: Sequence[str], must_say: Sequence[str]) -> tuple[list[str], list[str]]:
    """(words that must not be said, words that must) after some turns, from those before them.

    What is said later counts: a word that a later turn wants said is forbidden no more, and the other way round.
    """
    banned, wanted = list(bans), list(must_say)
    for turn in turns:
        if turn["role"] != "user":
            continue
        said = read(turn["content"], language_of(turn["content"]), earlier=True).said
        own_bans, own_wishes = said.get("must_not_say", []), said.get("must_say", [])
        banned = [*(ban for ban in banned if not any(is_within(ban, one) for one in own_wishes)), *own_bans]
        wanted = [*(one for one in wanted if not any(is_within(ban, one) for ban in own_bans)), *own_wishes]
    return list(dict.fromkeys(banned)), list(dict.fromkeys(wanted))


def is_within(word: str, text: str) -> bool:
    """Whether a word stands in a text, whatever the case."""
    return word.casefold() in text.casefold()


def newest(words: Sequence[str]) -> list[str]:
    """Each word once, the last ones where there are too many."""
    return list(dict.fromkeys(words))[-MOST_WORDS:]


def scripts_of(turns: Sequence[Turn], *, characters: int = 0) -> list[dict[str, Any]]:
    """The scripts among some turns, each with the request before it.

    characters: how much of the script's own text to keep beside its first sentence.
    """
    found: list[dict[str, Any]] = []
    asked = ""
    for turn in turns:
        if turn["role"] == "user":
            asked = turn["content"]
        elif is_script(turn, asked):
            place = {"turn": turn["no"], "run_id": turn["run_id"], "asked": asked[:ASKED_CHARACTERS]}
            items = len([line for line in turn["content"].splitlines() if line.strip()])
            text = {"text": turn["content"][:characters]} if characters else {}
            found.append({**place, "first": first_sentence(turn["content"]), "items": items, **text})
    return found


def is_script(turn: Turn, asked: str) -> bool:
    """Whether a turn is a script, or the scripts of a batch, and no answer to a question.

    `remember_turn` says what it keeps. Turns that are older than that have no kind: there the request has to tell.
    """
    if kind := turn.get("kind"):
        return kind in (SCRIPT, BATCH)
    return read(asked, language_of(asked), earlier=True).intent not in ("ask", "chat")


def as_script(one: Mapping[str, Any]) -> dict[str, Any]:
    """A script of the memory in the fields of `agents.script.intent.reference.Script`."""
    kept = {name: one[name] for name in ("turn", "run_id", "asked", "items")}
    return {**kept, "text": one.get("text") or one["first"]}


def first_sentence(text: str) -> str:
    """How a script begins."""
    sentences = [one.strip() for one in SENTENCE_END.split(text) if one.strip()]
    return sentences[0][:FIRST_CHARACTERS] if sentences else ""


def told(known: Mapping[str, Any]) -> str:
    """A memory in words, as a prompt's background."""
    words = load("questions")[known["language"]]["memory"]
    comma = words["comma"]
    wishes = comma.join(str(value) for value in known["wishes"].values())
    lines = (  # what may not be lost stands first: the end is cut where it grows too long
        (words["bans"], comma.join(known["bans"])),
        (words["must_say"], comma.join(known["must_say"])),
        (words["wishes"], wishes),
        (words["products"], comma.join(known["products"])),
        (words["last"], known["scripts"][-1]["first"] if known["scripts"] else ""),
    )
    return "\n".join(f"{name}{value}" for name, value in lines if value)


def told_by_model(known: Mapping[str, Any], older: Sequence[Turn], ctx: Context) -> str | None:
    """The memory in a model's words, or None: no able model, it failed, or it said too much."""
    language = known["language"]
    said = "\n".join(f"{turn['role']}: {cut(turn['content'], 200)}" for turn in older[-MOST_SCRIPTS:])
    request = load("questions")[language]["memory"]["summarise"].format(known=known["text"], turns=said)
    try:
        model = ctx.models.able(language, "summarization")
        if model is None or model.weak:
            return None
        text = ctx.models.chat(
            [{"role": "user", "content": request}],
            model=model,
            language=language,
            capability="summarization",
            max_tokens=SUMMARY_TOKENS,
            temperature=0.0,
        )
    except (Retry, Final, Pause):
        return None  # the script is written: a summary is worth neither a failure nor a wait
    text = str(text).strip()
    return text if text and estimated_tokens(text) <= SUMMARY_TOKENS and keeps(text, known) else None


def keeps(text: str, known: Mapping[str, Any]) -> bool:
    """Whether a summary still names every ban: a forgotten product is a pity, a forgotten ban is a mistake on air."""
    return all(ban.lower() in text.lower() for ban in known["bans"])
