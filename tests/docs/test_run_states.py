"""docs/run-states.md: its table and its picture are the table of the code."""

from __future__ import annotations

import re

from chains.decide import ISOLATED_AFTER_LOSSES, POISON_AFTER_LOSSES, backoff_seconds
from chains.transitions import ALLOWED
from node import Node
from tests.docs.pages import ROOT, table_after, text_of

PAGE = ROOT / "docs" / "run-states.md"


def test_the_table_is_the_codes() -> None:
    told = {}
    for frm, to in table_after(PAGE, "# States of a run"):
        told[frm.strip("`")] = frozenset(re.findall(r"`(\w+)`", to))
    assert told == ALLOWED


def test_the_picture_has_the_same_arrows() -> None:
    picture = text_of(PAGE).split("```mermaid")[1].split("```")[0]
    arrows = {(frm, to) for frm, to in re.findall(r"(\w+) --> (\w+)", picture)}
    assert arrows == {(frm, to) for frm, allowed in ALLOWED.items() for to in allowed}


def test_the_numbers_are_the_codes() -> None:
    said = " ".join(text_of(PAGE).split())
    assert Node("any", lambda state, ctx: {}).retries == 3 and "Three are retried, the fourth is final" in said
    assert ISOLATED_AFTER_LOSSES == 2 and "After two losses" in said
    assert POISON_AFTER_LOSSES == 3 and "After three it is set aside" in said
    waits = [backoff_seconds(number, "seed") for number in (1, 2, 3, 40)]
    for wait, told in zip(waits, (0.5, 1.0, 2.0, 30.0), strict=True):
        assert told * 0.75 <= wait <= told * 1.25
