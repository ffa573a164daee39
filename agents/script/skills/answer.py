"""Node `script.answer`: a question about the trade, or small talk: answered in a few lines, without a script.

"May I say this?" is answered by the quality rules themselves. The rest an able model answers; without one, what stands
in data/answers.yaml does, which knows the questions that come most often.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.quality.finding import Finding
from agents.script.rules import check_words
from agents.script.words import Language, language_of
from node import Context, Final, Retry, node

MAX_TOKENS, TEMPERATURE = 400, 0.5
MAY_I = re.compile(
    r"(?:我|直播间|里|直播)*(?:能不能|可不可以|可以|能|会不会|是不是)[^，。？?]{0,6}?(?:说|讲|提|写|用|违规|违禁|限流)|违规|违禁词|敏感词"
    r"|\b(?:may|can|should) (?:i|we) (?:say|claim|call)\b|\b(?:is it|am i) allowed to say\b",
    re.IGNORECASE,
)
END = re.compile(r"(?:这个词|这句话|这么说)?(?:吗|么|呢)?[？?]?$")
MARKS = " ，,。.：:「」『』“”\"'"


@node("script.answer", reads=("load_context", "recognize_intent", "clarify"), timeout_seconds=60)
def answer(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """{"text", "source": "quality"|"model"|"rules"}."""
    context = state["load_context"]
    query = str(context["query"])
    understood = state.get("clarify") or state["recognize_intent"]
    spoken = language_of(query)
    if understood["intent"] == "ask" and (told := verdict(query, understood, spoken)):
        return shown(told, "quality", ctx)
    model = ctx.models.able(spoken)
    if model is not None and not model.weak:
        turns = [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in context["turns"]]
        system = {"role": "system", "content": load("answers")[spoken]["system"]}
        try:
            text = ctx.models.show(
                [system, *turns, {"role": "user", "content": query}],
                model=model,
                language=spoken,
                max_tokens=MAX_TOKENS,
                temperature=TEMPERATURE,
            )
            if str(text).strip():
                return {"text": str(text).strip(), "source": "model"}
        except (Retry, Final):
            if not ctx.models.may_fall_back:
                raise
    ctx.models.by_rules(f"no model answered in {spoken}: answered by rules")
    return shown(by_rules(query, understood["intent"], spoken), "rules", ctx)


def shown(text: str, source: str, ctx: Context) -> dict[str, Any]:
    """An answer that viewers see at once."""
    ctx.token(text)
    return {"text": text, "source": source}


def verdict(query: str, understood: Mapping[str, Any], language: Language) -> str | None:
    """What the quality rules say to the words that are asked about; None where the question is another one."""
    if not MAY_I.search(query):
        return None
    words = load("answers")[language]["verdict"]
    # The words alone: within a question about them the rules take them for a quotation.
    asked = END.sub("", MAY_I.sub("", query)).strip(MARKS)
    found = [one for one in check_words(asked, brief_of(query, understood, language)) if one["pack"] != "shape"]
    if not found:
        return None
    return "\n".join([words["found"], *dict.fromkeys(line(one, words) for one in found)])


def line(finding: Finding, words: Mapping[str, str]) -> str:
    """One finding, as it is told."""
    told = words["line"].format(
        text=finding["text"], message=finding["message"], article=finding["article"] or finding["rule"]
    )
    return told + (words["instead"].format(instead=finding["instead"]) if finding["instead"] else "")


def brief_of(query: str, understood: Mapping[str, Any], language: Language) -> Brief:
    """As much of a brief as the rules need to judge words."""
    slots = understood["slots"]
    return Brief(
        query=query,
        language=language,
        intent="ask",
        scene="",
        tone="",
        category=slots["category"],
        facts={"platform": slots.get("platform"), "category": slots["category_label"]},
        points=(),
        banned=(),
        style=None,
        target_length=None,
        turns=(),
    )


def by_rules(query: str, intent: str, language: Language) -> str:
    """The answer to the first topic that the question names; else what can be done for the creator."""
    known = load("answers")[language]
    topics = known["chat" if intent == "chat" else "ask"]
    said = query.lower()
    for topic in topics:
        if any(re.search(word, said) for word in topic["words"]):
            return str(topic["text"]).strip()
    return str(known["other"][intent if intent == "chat" else "ask"]).strip()
