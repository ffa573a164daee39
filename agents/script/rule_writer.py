"""The rule-level writer: a whole script from a grammar of spoken lines, right in every fact, without any model.

The same seed and the same brief give the same script, so that a repeated step says the same again. The lines stand in
data/templates/, `writing/` says how they become a script of the asked length.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from agents.script.brief import Brief
from agents.script.data import load
from agents.script.quality.facts import known_from
from agents.script.quality.folding import plain
from agents.script.quality.wording import REGISTERED, wrong_words
from agents.script.writing.fitting import Draft, adjust, fill, length_of, parts_of
from agents.script.writing.parts import Part, joined, spoken_a_minute
from agents.script.writing.plan import seconds_wanted, slots_for
from agents.script.writing.speech import Speech

__all__ = ["Part", "joined", "must_say_sentence", "with_must_say", "write_by_rules"]

DRAFTS = 4  # of which the one nearest to the asked length is taken
NEAR = 0.06


def write_by_rules(brief: Brief, seed: str) -> list[Part]:
    """The parts of a script for this brief; `seed` picks among the sentences that fit."""
    target = brief.target_length or round(seconds_wanted(brief) * spoken_a_minute(brief.language) / 60)
    fine = fine_for(brief)
    # Steps of one run may share a seed, as the items of a batch do: what they write about tells them apart.
    seed = "/".join((seed, brief.tone, brief.category, str(brief.facts.get("product"))))
    drafts: list[tuple[bool, int, list[Part]]] = []
    for number in range(DRAFTS):
        draft = one_draft(brief, f"{seed}/{number}", target, fine)
        parts = parts_of(draft, brief.language)
        # Two sentences that are fine alone may not be so side by side; what the request wants said is no draft's fault.
        drafts.append((not fine(joined(parts)), abs(length_of(draft) - target), parts))
        if drafts[-1][1] <= NEAR * target and not drafts[-1][0]:
            break
    return min(drafts, key=lambda one: one[:2])[2]


def one_draft(brief: Brief, seed: str, target: int, fine: Callable[[str], bool]) -> Draft:
    """One try at a script."""
    speech = Speech(brief, random.Random(seed), fine)
    draft = fill(slots_for(brief), speech, target, brief.language)
    adjust(draft, speech, target)
    return draft


def must_say_sentence(brief: Brief, text: str, seed: str) -> str:
    """What the request wants said, as a sentence of its own."""
    said = Speech(brief, random.Random(seed), lambda _: True).say("say", float("inf"), text)
    return said.text if said else text


def fine_for(brief: Brief) -> Callable[[str], bool]:
    """Whether a sentence passes the quality rules and fits the tone; each sentence is asked for once."""
    known = known_from(brief)
    clashing = [word.lower() for word in load("tone_words").get(brief.language, {}).get(brief.tone, ())]
    verdicts: dict[str, bool] = {}

    def fine(text: str) -> bool:
        if text not in verdicts:
            out_of_tone = any(word in text.lower() for word in clashing)
            wrong = [one for one in wrong_words(text, brief, known) if one["rule"] != REGISTERED]
            verdicts[text] = not out_of_tone and not wrong
        return verdicts[text]

    return fine


def with_must_say(
    parts: list[Part], brief: Brief, seed: str, tell: Callable[[str], None] = lambda sentence: None
) -> list[Part]:
    """The parts with every wish that they leave unsaid, before the last one; `tell` hears each sentence added."""
    heard = plain(joined(parts))
    between = "" if brief.language == "zh" else " "
    for text in brief.must_say:
        if plain(text) not in heard:
            sentence = must_say_sentence(brief, text, f"{seed}/{text}")
            home = parts[-2] if len(parts) > 1 else parts[-1]
            home["text"] += between + sentence
            tell(sentence)
    return parts
