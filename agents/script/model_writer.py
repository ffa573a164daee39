"""A script by a model.

A model that is able writes the whole script in one streamed answer, part by part under marks. A weak one only words
single parts, from a lead that holds the facts; what it says is checked at once, and a part that it cannot word is left
to the rule-level writer. What the request wants said and the model left out is added by rule.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.script.brief import Brief
from agents.script.data import FOLDER, load
from agents.script.rule_writer import with_must_say, write_by_rules
from agents.script.rules import check_words
from agents.script.writing import prompts
from agents.script.writing.marks import parts_in
from agents.script.writing.parts import Part
from agents.script.writing.plan import kinds_of
from agents.script.writing.speech import pains_for
from node import Context, Retry

TRIES_A_PART = 3
WEAK_TEMPERATURE, TEMPERATURE = 0.3, 0.7
WEAK_MAX_TOKENS = 40
FEWEST_TOKENS, MOST_TOKENS, TOKENS_A_UNIT = 900, 6000, 2  # a unit: a Chinese character, an English word
MAX_WORDS_A_PART = 45
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")


def write_by_model(brief: Brief, model: Any, ctx: Context) -> list[Part]:
    """The parts of a script. Raises what the gateway raises, and Retry for an empty answer."""
    if model.weak:
        return all_said(word_parts(brief, model, ctx), brief, ctx)
    return all_said(whole_script(brief, model, ctx, prompts.request_prompt(brief)), brief, ctx)


def rewrite_by_model(
    brief: Brief, model: Any, ctx: Context, script: str, findings: Sequence[Mapping[str, Any]]
) -> list[Part]:
    """The whole script again, by a model that was told what is wrong with it."""
    request = prompts.rewrite_prompt(brief, script, findings)
    return all_said(whole_script(brief, model, ctx, request), brief, ctx)


def whole_script(brief: Brief, model: Any, ctx: Context, request: str) -> list[Part]:
    """One streamed answer with a mark before each part; live viewers see it grow."""
    said = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in brief.turns]
    system = {"role": "system", "content": prompts.system_prompt(brief.language)}
    text = ctx.models.show(
        [system, *prompts.background(brief), *said, {"role": "user", "content": request}],
        model=model,
        language=brief.language,
        prompt_version=prompts.version_of(brief),
        max_tokens=tokens_for(brief),
        temperature=TEMPERATURE,
        quality="high",
    )
    parts = parts_in(str(text), brief.language, kinds_of(brief))
    if not parts:
        raise Retry(f"model {model.name}: an empty answer")
    return parts


def tokens_for(brief: Brief) -> int:
    """How long an answer may be: twice the asked length, within bounds."""
    return min(MOST_TOKENS, max(FEWEST_TOKENS, TOKENS_A_UNIT * (brief.target_length or 0)))


def all_said(parts: list[Part], brief: Brief, ctx: Context) -> list[Part]:
    """The parts with every wish that the model left unsaid added; viewers see it too."""
    return with_must_say(parts, brief, f"{ctx.run_id}/{ctx.step}", lambda sentence: ctx.token(f"\n{sentence}"))


def word_parts(brief: Brief, model: Any, ctx: Context) -> list[Part]:
    """The rules' script; of the kinds that carry no product facts the first part each is worded by the model."""
    told = weak_prompts(brief.language)
    chance = random.Random(f"{ctx.run_id}/{ctx.step}")
    pain = pains_for(brief, chance)[0]
    parts = write_by_rules(brief, seed=f"{ctx.run_id}/{ctx.step}")
    open_kinds, worded = set(told["parts"]), 0
    for part in parts:
        ctx.check()
        if part["kind"] in open_kinds:
            open_kinds.remove(part["kind"])
            facts = {**brief.facts, "tone": brief.tone, "pain": pain}
            if text := word_part(brief, model, ctx, messages_for(told, part["kind"], facts), chance):
                part["text"], part["by"] = text, "model"
                worded += 1
        ctx.token(part["text"] + "\n")
    if not worded:
        raise Retry(f"model {model.name}: none of its sentences passed the check")
    return parts


def weak_prompts(language: str) -> Mapping[str, Any]:
    """What a weak model is told; nothing where none knows the language."""
    name = f"prompts/{language}/weak"
    found: Mapping[str, Any] = load(name) if (FOLDER / f"{name}.yaml").exists() else {"parts": {}}
    return found


def messages_for(told: Mapping[str, Any], kind: str, facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """The talk that a weak model goes on from: its last message is the part's lead."""
    messages = [{"role": "system", "content": told["system"]}]
    for ask, answer in told["examples"]:
        messages += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    asked, lead = (prompts.inline(told["parts"][kind][name]).render(facts) for name in ("ask", "lead"))
    return [*messages, {"role": "user", "content": asked}, {"role": "assistant", "content": lead}]


def word_part(
    brief: Brief, model: Any, ctx: Context, messages: list[dict[str, str]], chance: random.Random
) -> str | None:
    """The lead and what the model made of it, or None where no try passed the check."""
    lead = messages[-1]["content"]
    version = f"script/{brief.language}/weak@{weak_prompts(brief.language)['version']}"
    for _ in range(TRIES_A_PART):
        wishes = {"max_tokens": WEAK_MAX_TOKENS, "temperature": WEAK_TEMPERATURE, "seed": chance.randrange(2**31)}
        answer = ctx.models.chat(messages, model=model, language=brief.language, prompt_version=version, **wishes)
        text = whole_sentences(f"{lead} {answer.strip()}")
        if len(text) > len(lead) + 10 and is_sayable(text, brief):
            return text
    return None


def is_sayable(text: str, brief: Brief) -> bool:
    """Whether a weak model's sentence may stand: plain letters, not too long, no forbidden word, no made-up number."""
    return text.isascii() and len(text.split()) <= MAX_WORDS_A_PART and not check_words(text, brief)


def whole_sentences(text: str) -> str:
    """The text up to its last full stop, in one line; nothing where no sentence ends."""
    line = " ".join(text.split())
    ends = [match.end() for match in SENTENCE_END.finditer(line)]
    return line[: ends[-1]] if ends else ""
