"""Whether two questions ask the same: near as a whole, equal where it counts, and near in what they do not share.

An encoder finds "ship to Canada" and "ship to Mexico" in a long sentence nearly the same. So a hit needs more:

1. the guards of both wordings are equal (wording.py): kind of question, numbers, names, negation, directions;
2. laid side by side, no word of one is missing in the other, but where words stand instead of others;
3. and those words, compared by themselves, mean the same too.

The order of words counts, but a question may begin with its second half ("is this safe to open" / "open this: safe?").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from gateway.cache.wording import CJK, Wording, joined

PART_THRESHOLD = 0.85  # in the encoder most synonyms are above 0.8, siblings such as red and blue below
MAX_PARTS = 2
LEAST_SHARED = 0.5
TURN_NEEDS = 2  # Chinese characters: a shorter half may be one half of a word

Closeness = Callable[[str, str], float]


def is_same(one: Wording, other: Wording, closeness: Closeness) -> bool:
    """Whether an answer to one answers the other. closeness: the cosine of two short texts."""
    if one.guard != other.guard or one.kind != other.kind:
        return False
    return any(_fits(one.words, turned, closeness) for turned in _turned(one, other.words))


def _turned(one: Wording, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The words as they are, and beginning with where the other question begins or ends, unless it asks for a doer."""
    if not words or not one.words or one.kind in ("who", "whom"):
        return [words]
    cuts = [
        cut
        for cut in range(1, len(words))
        if (words[cut] == one.words[0] or words[cut - 1] == one.words[-1])
        and (not re.match(f"[{CJK}]", words[cut]) or TURN_NEEDS <= cut <= len(words) - TURN_NEEDS)
    ]
    return [words, *(words[cut:] + words[:cut] for cut in cuts[:4])]


def _fits(one: Sequence[str], other: Sequence[str], closeness: Closeness) -> bool:
    if tuple(one) == tuple(other) or "".join(one) == "".join(other):
        return True
    parts = _unshared(one, other)
    unshared = sum(max(len(left), len(right)) for left, right in parts)
    if len(parts) > MAX_PARTS or unshared > (1 - LEAST_SHARED) * max(len(one), len(other)):
        return False
    return all(_means_same(left, right, closeness) for left, right in parts)


def _unshared(one: Sequence[str], other: Sequence[str]) -> list[tuple[Sequence[str], Sequence[str]]]:
    """What stands in one instead of something in the other. A lone Chinese character in between belongs to it."""
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    parts: list[tuple[int, int, int, int]] = []
    joins = False
    for step, a, b, c, d in steps:
        if step == "equal":
            joins = b - a < TURN_NEEDS and bool(re.match(f"[{CJK}]", one[a]))
            if joins:
                parts.append((a, b, c, d))
        elif parts and joins:
            start_one, _, start_other, _ = parts.pop()
            parts.append((start_one, b, start_other, d))
            joins = False
        else:
            parts.append((a, b, c, d))
            joins = False
    return [(one[a:b], other[c:d]) for a, b, c, d in parts if one[a:b] != other[c:d]]


def _means_same(left: Sequence[str], right: Sequence[str], closeness: Closeness) -> bool:
    if not left or not right:
        return False
    said, meant = joined(tuple(left)), joined(tuple(right))
    if len(said) < 2 or len(meant) < 2:  # of one character the encoder knows too little
        return False
    differing = [character for character, instead in zip(said, meant, strict=False) if character != instead]
    if len(said) == len(meant) and len(differing) == 1 and re.match(f"[{CJK}]", differing[0]):
        return False  # one character turns a Chinese word round: 借入, 借出
    if said.endswith(meant) or meant.endswith(said):  # unsafe, safe; inactive, active
        return False
    return closeness(said, meant) >= PART_THRESHOLD
