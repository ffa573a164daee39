"""A script by a model.

A model that is able writes the whole script in one streamed answer. A weak one only words single parts, from a lead
that holds the facts; what it says is checked at once, and a part that it cannot word is left to the sentence templates.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.rule_writer import Part, template, write_by_rules
from agents.script.rules import check_words
from node import Context, Retry

TRIES_A_PART = 3
WEAK_TEMPERATURE, TEMPERATURE = 0.3, 0.7
WEAK_MAX_TOKENS, MAX_TOKENS = 40, 900
MAX_WORDS_A_PART = 45
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def write_by_model(brief: Brief, model: Any, ctx: Context) -> list[Part]:
    """The parts of a script. Raises what the gateway raises, and Retry for an empty answer."""
    if model.weak:
        return word_parts(brief, model, ctx)
    return whole_script(brief, model, ctx, template(load(f"prompts/{brief.language}")["user"]).render(words(brief)))


def rewrite_by_model(
    brief: Brief, model: Any, ctx: Context, script: str, findings: Sequence[Mapping[str, Any]]
) -> list[Part]:
    """The whole script again, by a model that was told what is wrong with it."""
    prompt = template(load(f"prompts/{brief.language}")["rewrite"])
    return whole_script(brief, model, ctx, prompt.render({**words(brief), "script": script, "findings": findings}))


def whole_script(brief: Brief, model: Any, ctx: Context, request: str) -> list[Part]:
    """One streamed answer, a paragraph a part; live viewers see it grow."""
    said = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in brief.turns]
    system = load(f"prompts/{brief.language}")["system"]
    messages = [{"role": "system", "content": system}, *said, {"role": "user", "content": request}]
    text = ""
    for piece in ctx.models.stream(messages, model=model, max_tokens=MAX_TOKENS, temperature=TEMPERATURE):
        text += piece
        ctx.token(piece)
    paragraphs = [" ".join(lines.split()) for lines in re.split(r"\n\s*\n", text) if lines.strip()]
    if not paragraphs:
        raise Retry(f"model {model.name}: an empty answer")
    kinds = kinds_of(brief)
    named = kinds if len(kinds) == len(paragraphs) else ["body"] * len(paragraphs)
    return [Part(kind=kind, text=paragraph, by="model") for kind, paragraph in zip(named, paragraphs, strict=True)]


def word_parts(brief: Brief, model: Any, ctx: Context) -> list[Part]:
    """The rules' script with the parts that carry no product facts worded by the model."""
    prompts = load(f"prompts/{brief.language}").get("weak", {"parts": {}})
    categories = load(f"templates/{brief.language}")["categories"]
    chance = random.Random(f"{ctx.run_id}/{ctx.step}")
    known_pains = categories.get(brief.category, categories["general"])["pains"]
    pains = cycle(chance.sample(known_pains, len(known_pains)))
    parts = write_by_rules(brief, seed=f"{ctx.run_id}/{ctx.step}")
    worded = 0
    for part in parts:
        ctx.check()
        if part["kind"] in prompts["parts"]:
            facts = {**words(brief), "pain": next(pains)}
            if text := word_part(brief, model, ctx, messages_for(prompts, part["kind"], facts), chance):
                part["text"], part["by"] = text, "model"
                worded += 1
        ctx.token(part["text"] + "\n")
    if not worded:
        raise Retry(f"model {model.name}: none of its sentences passed the check")
    return parts


def messages_for(prompts: Mapping[str, Any], kind: str, facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The talk that a weak model goes on from: its last message is the part's lead."""
    messages = [{"role": "system", "content": prompts["system"]}]
    for ask, answer in prompts["examples"]:
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    asked, lead = (template(prompts["parts"][kind][name]).render(facts) for name in ("ask", "lead"))
    return [*messages, {"role": "user", "content": asked}, {"role": "assistant", "content": lead}]


def word_part(
    brief: Brief, model: Any, ctx: Context, messages: list[dict[str, str]], chance: random.Random
) -> str | None:
    """The lead and what the model made of it, or None where no try passed the check."""
    lead = messages[-1]["content"]
    for _ in range(TRIES_A_PART):
        options = {"max_tokens": WEAK_MAX_TOKENS, "temperature": WEAK_TEMPERATURE, "seed": chance.randrange(2**31)}
        answer = "".join(ctx.models.stream(messages, model=model, **options))
        text = whole_sentences(f"{lead} {answer.strip()}")
        if len(text) > len(lead) + 10 and is_sayable(text, brief):
            return text
    return None


def is_sayable(text: str, brief: Brief) -> bool:
    """Whether a weak model's sentence may stand: plain letters, not too long, no forbidden word, no made-up number."""
    return text.isascii() and len(text.split()) <= MAX_WORDS_A_PART and not check_words(text, brief, by_model=True)


def whole_sentences(text: str) -> str:
    """The text up to its last full stop, in one line; nothing where no sentence ends."""
    line = " ".join(text.split())
    ends = [match.end() for match in SENTENCE_END.finditer(line)]
    return line[: ends[-1]] if ends else ""


def words(brief: Brief) -> dict[str, Any]:
    """The names that a prompt may use."""
    return {
        **brief.facts,
        "query": brief.query,
        "tone": brief.tone,
        "style": brief.style,
        "points": brief.points,
        "banned": brief.banned,
        "target_length": brief.target_length,
        "parts": kinds_of(brief),
    }


def kinds_of(brief: Brief) -> list[str]:
    """The parts that a script of this scene has, in their order."""
    templates = load(f"templates/{brief.language}")
    scene = brief.scene if brief.scene in templates["scenes"] else templates["default_scene"]
    return list(templates["scenes"][scene])
