"""A script of the asked length: places are filled by their priority, then sentences are worded longer or shorter."""

from __future__ import annotations

from collections.abc import Sequence

from agents.script.words import Language
from agents.script.writing.parts import Part
from agents.script.writing.plan import Slot
from agents.script.writing.speech import Said, Speech

CLOSE_ENOUGH = 0.03  # of the asked length
REWORDINGS = 120
SHORTEST = {"zh": 10, "en": 7}  # spoken: less room than that is left as it is
OVER = 1.06  # a sentence may pass the end by as much of its room

Draft = dict[Slot, Said]


def fill(slots: Sequence[Slot], speech: Speech, target: int, language: Language) -> Draft:
    """Sentences for the places, the more important ones first, until the length is reached."""
    draft: Draft = {}
    ranked = sorted(slots, key=lambda slot: (slot.priority, slot.order))
    needed = sum(1 for slot in slots if slot.priority == 0)
    leads = {slot.place: slot for slot in reversed(slots)}  # without its first sentence the rest of a part hangs loose
    for slot in ranked:
        room = target - length_of(draft)
        if slot.priority == 0:
            longest = 1.2 * room / max(1, needed)
            needed -= 1
        elif slot is not leads[slot.place] and leads[slot.place] not in draft:
            continue
        elif room < SHORTEST[language]:
            break
        else:
            longest = room * OVER
        said = speech.say(slot.move, longest, slot.fact)
        if said and (slot.priority == 0 or said.length <= longest):
            draft[slot] = said
            speech.keep(said)
    return draft


def adjust(draft: Draft, speech: Speech, target: int) -> None:
    """Bring a draft nearer to its length: without a sentence where it is long, and by other words of the others."""
    shed(draft, target)
    for _ in range(REWORDINGS):
        gap = target - length_of(draft)
        if abs(gap) <= CLOSE_ENOUGH * target or not draft:
            return
        slot = speech.chance.choice(list(draft))
        other = speech.reworded(draft[slot])
        if other and abs(gap - (other.length - draft[slot].length)) < abs(gap):
            speech.replace(draft[slot], other)
            draft[slot] = other


def shed(draft: Draft, target: int) -> None:
    """Leave out the less important sentences while the script is too long by more than one of them."""
    for slot in sorted(draft, key=lambda slot: (-slot.priority, -slot.order)):
        over = length_of(draft) - target
        if slot.priority == 0 or over <= 0:
            return
        if draft[slot].length <= over * 1.5:
            del draft[slot]


def length_of(draft: Draft) -> int:
    """The spoken length of a draft."""
    return sum(said.length for said in draft.values())


def parts_of(draft: Draft, language: Language) -> list[Part]:
    """The parts that the draft's sentences make, in their order."""
    between = "" if language == "zh" else " "
    texts: dict[int, tuple[str, list[str]]] = {}
    for slot in sorted(draft, key=lambda slot: slot.order):
        texts.setdefault(slot.place, (slot.kind, []))[1].append(draft[slot].text)
    return [Part(kind=kind, text=between.join(said), by="rules") for kind, said in texts.values()]
