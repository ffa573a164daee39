"""The plan of a script: its parts, the moves within each, and which of them come first when time is short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from agents.script.brief import Brief
from agents.script.data import load

ROUNDS = 14  # of parts that come again when a script is long; ten minutes take seven

# Move and priority: 0 is always said, the greater ones as far as the length reaches. Moves are those of lines.yaml.
MOVES: dict[str, tuple[tuple[str, int], ...]] = {
    "opening": (("greet", 0), ("catch", 8), ("announce", 4), ("settle", 5)),
    "pain_point": (("pain", 2), ("feel", 4), ("turn", 5)),
    "preview": (("show", 2), ("order", 5)),
    "product": (
        ("name", 0), ("point", 1), ("point", 2), ("spec", 3), ("point", 4), ("made", 5), ("point", 5), ("made", 6),
        ("suits", 5), ("made", 6), ("made", 6), ("tip", 7),
    ),
    "proof": (("check", 3), ("tip", 5), ("ask", 7)),
    "offer": (("price", 1), ("deal", 2), ("more", 5), ("more", 6), ("how", 6)),
    "interaction": (("question", 2), ("reply", 5), ("welcome", 7)),
    "call_to_action": (("act", 0), ("assure", 6), ("close", 7)),
    "farewell": (("bye", 0), ("thanks", 3), ("remember", 5)),
}  # fmt: skip
WITHOUT_FACT = {"name": ("product", "general"), "price": ("price", "none")}
AGAIN = (
    ("pain_point", ("pain", "feel", "talk")),
    ("product", ("again", "tip", "talk")),
    ("interaction", ("question", "reply", "welcome")),
    ("proof", ("tip", "check")),
    ("offer", ("price_again", "how")),
)
AGAIN_WITHOUT_PRODUCT = (
    ("pain_point", ("pain", "feel", "talk")),
    ("preview", ("tip", "talk")),
    ("interaction", ("question", "reply", "welcome")),
    ("preview", ("tip", "order")),
    ("offer", ("ask", "how")),
)
NAMED_LATE = ("name", "point", "point", "spec", "tip")  # in a scene without a part for it
Move: TypeAlias = tuple[str, int, str | None]  # its name, its priority, and what it has to say, if one
MUST_SAY_IN = ("product", "offer", "preview", "pain_point", "farewell", "opening")


@dataclass(frozen=True)
class Slot:
    """A place for one sentence. place: its part; order: its place in the script; fact: what it has to say, if one."""

    place: int
    order: int
    kind: str
    move: str
    priority: int
    fact: str | None = None


def slots_for(brief: Brief) -> list[Slot]:
    """Every place of a script of this brief, in the order in which they are spoken."""
    rows, scene = rows_for(brief), kinds_of(brief)
    # The parts of the scene stand first, but for its last one: what comes again may not be reached.
    home = next(scene.index(kind) for kind in MUST_SAY_IN if kind in scene[:-1])
    rows[home][1].extend(("say", 0, text) for text in brief.must_say)
    slots: list[Slot] = []
    for place, (kind, moves) in enumerate(rows):
        for move, priority, fact in moves:
            slots.append(Slot(place, len(slots), kind, move, priority, fact))
    return slots


def rows_for(brief: Brief) -> list[tuple[str, list[Move]]]:
    """The parts with their moves: those of the scene, and before its last one those that come again."""
    scene, product = kinds_of(brief), bool(brief.facts.get("product"))
    rows = [(kind, moves_of(kind, brief)) for kind in scene]
    for number in range(ROUNDS):
        for at, (kind, again) in enumerate(AGAIN if product else AGAIN_WITHOUT_PRODUCT):
            rows.insert(-1, (kind, [(move, 10 * (number + 1) + at, None) for move in again]))
    if product and "product" not in scene:
        # The scene has no part for the product, so the first one that comes again says what it is.
        late = next(at for at, (kind, _) in enumerate(rows) if kind == "product")
        rows[late] = ("product", [(move, 1 if move == "name" else 11, None) for move in NAMED_LATE])
    return rows


def moves_of(kind: str, brief: Brief) -> list[Move]:
    """The moves of a part; those that need a fact that is not there give way to others."""
    moves: list[Move] = []
    for move, priority in MOVES[kind]:
        fact, other = WITHOUT_FACT.get(move, (None, move))
        named = other if fact and brief.facts.get(fact) is None else move
        first = move == "catch" and in_own_voice(brief)
        moves.append((named, 0 if first else priority, None))
    return moves


def in_own_voice(brief: Brief) -> bool:
    """Whether the creator's catch-phrases fit: in another tone than their own they may not."""
    return bool(brief.catch_phrases) and brief.tone == (brief.own_tone or brief.tone)


def kinds_of(brief: Brief) -> list[str]:
    """The parts that a script of this scene has, in their order."""
    templates = load(f"templates/{brief.language}")
    return list(templates["scenes"].get(brief.scene) or templates["scenes"][templates["default_scene"]])


def seconds_wanted(brief: Brief) -> float:
    """How long a script of this scene is where nobody says."""
    templates = load(f"templates/{brief.language}")
    return float(templates["seconds"].get(brief.scene) or templates["seconds"][templates["default_scene"]])
