"""What does not change stands first in a prompt, so that a server computes it once for all requests that share it."""

from __future__ import annotations

from typing import Any

import pytest

from agents.script.brief import brief_from
from agents.script.model_writer import rewrite_by_model, write_by_model
from tests.agents.fakes import FakeContext, FakeModel, FakeModels
from tests.agents.test_script_nodes import ENGLISH_REQUEST, SEED_REQUEST, STORY, run_to_draft

OTHER = {"zh": "写一段数码产品的直播话术，专业一点", "en": "Write a calm closing for a kitchen livestream"}
FIRST = {"zh": SEED_REQUEST, "en": ENGLISH_REQUEST}


def prompt_for(
    query: str, turns: list[dict[str, str]], *, rewrite: bool = False, **context: Any
) -> list[dict[str, Any]]:
    """The messages that a model would get."""
    ctx = FakeContext(models=FakeModels(answers=[STORY], languages=("zh", "en")))
    state = run_to_draft(query, FakeContext())
    state["load_context"] |= {"turns": turns, **context}
    brief = brief_from(state)
    if rewrite:
        rewrite_by_model(brief, FakeModel(), ctx, "a draft", [{"rule": "length", "text": "x", "message": "too long"}])
    else:
        write_by_model(brief, FakeModel(), ctx)
    messages: list[dict[str, Any]] = ctx.models.calls[0][0]
    return messages


@pytest.mark.parametrize("language", ["zh", "en"])
def test_two_tenants_requests_share_all_but_the_last_message(language: str) -> None:
    one, other = (prompt_for(query[language], []) for query in (FIRST, OTHER))
    assert one[:-1] == other[:-1]
    assert one[0]["role"] == "system"
    assert one[-1] != other[-1]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_sessions_next_request_begins_with_all_that_was_said_before(language: str) -> None:
    turns = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "an answer"}]
    later = [*turns, {"role": "user", "content": "second"}, {"role": "assistant", "content": "another"}]
    one, next_one = prompt_for(FIRST[language], turns), prompt_for(OTHER[language], later)
    shared = one[:-1]
    assert next_one[: len(shared)] == shared


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_rewrite_begins_as_the_first_request_did(language: str) -> None:
    turns = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "an answer"}]
    asked, again = prompt_for(FIRST[language], turns), prompt_for(FIRST[language], turns, rewrite=True)
    assert again[:-1] == asked[:-1]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_what_older_turns_said_stands_after_the_system_prompt_and_before_the_last_turns(language: str) -> None:
    # Given a session whose older turns are folded, with a word that they forbade
    turns = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "an answer"}]
    told = {"summary": "Emma sells soap. Not to be said: dewdrop", "bans": ["dewdrop"]}
    one, other = (prompt_for(query[language], turns, **told) for query in (FIRST, OTHER))
    # Then the model is told, before the turns, and two requests of the session still begin alike
    assert one[:-1] == other[:-1]
    assert one[0] == prompt_for(FIRST[language], [])[0]
    assert one[1]["content"].endswith(told["summary"])
    assert one[2:-1] == turns
    # And the request forbids the word
    assert "dewdrop" in one[-1]["content"]
    assert prompt_for(FIRST[language], turns)[1:-1] == turns
