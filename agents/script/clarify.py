"""Node `script.clarify`: ask what cannot be guessed, once and with choices, and go on with the answer.

A clear request passes straight through. An open one pauses the run (kind `question`); POST .../answer, or the session's
next message, answers it with a choice or in the creator's own words. When nobody answers in time, the run ends with a
friendly word instead of a failure. That it has asked already it knows from the ledger of effects and not from the
number of its attempt: an attempt may have died before it asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from agents.script.data import load
from agents.script.questions import Known, Question, answered, known_from, question_for, readable
from agents.script.recognize_intent import scripts_in
from node import Context, Pause, node
from settings import settings

LEAST_SECONDS = 1.0  # with less than this left, the time for an answer is over


@node("script.clarify", reads=("load_context", "recognize_intent"), timeout_seconds=30)
def clarify(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """What `recognize_intent` returned, completed by the answer, with {"query": the request and its answer, "asked":
    kind or None, "answer": str|None, "goes_on": bool, "message": str|None}.

    goes_on false: nothing can be written, and `message` says so kindly. Pause `question` with {"choices": [{"id",
    "text"}], "asks": kind} and `on_timeout="again"`. An answer: a choice's id, text or number, {"choice": id}, {"text":
    words} or plain words.
    """
    context, intent = state["load_context"], state["recognize_intent"]
    known = known_from(intent, context, scripts_in(context))
    question = question_for(known)
    if question is None:
        return {**intent, "query": context["query"], "asked": None, "answer": None, "goes_on": True, "message": None}
    if ctx.answer is None:
        wait(ctx, question)
        ctx.degrade(f"nobody answered the question {question.kind!r} in time")
        return closed(known, question, "unanswered")
    found = answered(known, question, ctx.answer)
    if found.stopped:
        return closed(known, question, found.stopped, readable(question, ctx.answer))
    answer = readable(question, ctx.answer)
    return {
        **found.intent,
        "query": f"{context['query']}\n{answer}",
        "asked": question.kind,
        "answer": answer,
        "goes_on": True,
        "message": None,
    }


def understood(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request as it stands after a question, for every node that comes later."""
    intent: Mapping[str, Any] = state.get("clarify") or state["recognize_intent"]
    return intent


def wait(ctx: Context, question: Question) -> None:
    """Pause for an answer, for what is left of the time since it was first asked; return when that time is over."""
    first = ctx.effect("ask", "idempotent", {}, lambda key: {"asked_at": time.time()})
    left = wait_seconds() - (time.time() - float(first["asked_at"]))
    if left >= LEAST_SECONDS:
        raise Pause(
            "question",
            question.text,
            timeout_seconds=left,
            on_timeout="again",
            asks=question.kind,
            choices=[dict(choice) for choice in question.choices],
        )


def wait_seconds() -> float:
    """How long a question waits for its answer."""
    return settings().clarify_seconds


def closed(known: Known, question: Question, why: str, answer: str | None = None) -> dict[str, Any]:
    """The end of a run that writes nothing: a friendly word in the request's language."""
    message = load("questions")[known.spoken]["closing"][why]
    told = {"asked": question.kind, "answer": answer, "goes_on": False, "message": message}
    return {**known.intent, "query": known.query, **told}
