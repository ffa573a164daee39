"""The skill that a user just talks to: it writes a script, or does whatever else a request turns out to be.

After the request is understood, and what could not be guessed was asked, the run goes one of five ways: an answer to a
question or a greeting, a batch, a change of an earlier script, another one like it, or a new script.
"""

from __future__ import annotations

from chains.definition import Chain, FactsView, branch, sequence, step, when
from chains.script_body import CHECKED, CONTEXT, FETCHED, FOUND, MANY, REMEMBERED, UNDERSTOOD, output, under
from chains.script_input import ScriptInput


def is_talk(facts: FactsView) -> bool:
    """A question about the trade, or small talk."""
    return bool(facts["clarify"]["goes_on"]) and facts["clarify"]["intent"] in ("ask", "chat")


def is_batch(facts: FactsView) -> bool:
    """Scripts for many products."""
    return bool(facts["clarify"]["goes_on"]) and facts["clarify"]["intent"] == "batch"


def is_script(facts: FactsView) -> bool:
    """Whatever ends in one script; a run whose question nobody answered writes nothing."""
    return bool(facts["clarify"]["goes_on"])


def points_back(facts: FactsView) -> bool:
    """A request about an earlier script."""
    return facts["clarify"]["intent"] in ("modify", "continue")


def is_change(facts: FactsView) -> bool:
    return bool(facts["clarify"]["intent"] == "modify")


def is_more(facts: FactsView) -> bool:
    return bool(facts["clarify"]["intent"] == "continue")


SCRIPT = Chain(
    "script",
    version="2",
    title="Livestream script",
    input_schema=ScriptInput,
    output=output,
    body=sequence(
        CONTEXT,
        step("script.recognize_intent", facts=("intent",), quick=True),
        step("script.clarify", facts=UNDERSTOOD, quick=True),
        branch(
            when(is_talk, step("script.answer")),
            when(is_batch, under("batch", MANY)),
            when(
                is_script,
                branch(when(points_back, FOUND)),
                FETCHED,
                branch(
                    when(is_change, under("modify", step("script.modify", key="write"))),
                    when(is_more, under("continue", step("script.continue", key="write"))),
                    otherwise=step("script.write"),
                ),
                CHECKED,
            ),
        ),
        REMEMBERED,
    ),
)
