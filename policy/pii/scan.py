"""A text as the recognisers read it, with what several of them look for found once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]  # start and end in the text

HAN = "\u4e00-\u9fa5"  # inside of [] in a pattern: the Chinese characters in use
FULL_WIDTH = re.compile("[０-９Ａ-Ｚａ-ｚ＠＋－．（）]")
TO_HALF_WIDTH = 0xFEE0
NUMBERS = re.compile(r"[0-9][0-9 .()\-]{4,}[0-9]")
LOOK_BACK = 24
BEHIND = 12  # an extension, the X of an identity card, and what no number may be followed by
# Words before a number that say it is a thing's, so that neither a telephone nor a card is meant.
THINGS_NUMBER = re.compile(
    r"(?:(?:订单|运单|流水|交易|商品|物料|条码|批次|货品|产品|快递单|物流单|物流|序列|发票|合同|工单|案件)"
    r"(?:编号|号码|号|编码|id|ID)?|单号|货号|批号|款号|编号|编码|学号|工号|期号"
    r"|\b(?:[Oo]rder|ORDER|[Tt]racking|[Ii]nvoice|[Ss]erial|[Ii]tem|[Pp]roduct|[Tt]icket|[Ss]ku|SKU|ISBN|IMEI|[Ii]mei|SN)"
    r"(?:[ _]?(?:id|ID|no\.?|No\.?|number|#))?"
    r"|(?:bytes|size|free|used|total|count|offset|length)[\"']?[:=])[\"' ]{0,2}[:：#=是为]?[\"' ]{0,2}$"
)


def half_width(text: str) -> str:
    """The text with full-width letters, digits and signs as usual ones, each at its place."""
    return FULL_WIDTH.sub(lambda found: chr(ord(found[0]) - TO_HALF_WIDTH), text)


class Scan:
    """A text of which every character keeps its place: full-width letters and digits are read as usual ones."""

    def __init__(self, text: str) -> None:
        if not (ascii_only := text.isascii()) and FULL_WIDTH.search(text):
            text = half_width(text)
        self.text = text
        self.ascii_only = ascii_only

    @cached_property
    def numbers(self) -> list[Span]:
        """Where digits stand together, six characters at least, with the signs that people write between them."""
        return [found.span() for found in NUMBERS.finditer(self.text)]

    def in_numbers(self, pattern: re.Pattern[str], shortest: int) -> Iterator[re.Match[str]]:
        """Matches that begin in a run of at least `shortest` characters or two before it; they may end behind it."""
        text = self.text
        for start, end in self.numbers:
            if end - start >= shortest:
                for found in pattern.finditer(text, max(0, start - 2), end + BEHIND):
                    if found.start() < end:
                        yield found

    def before(self, at: int) -> str:
        """Some characters before a place."""
        return self.text[max(0, at - LOOK_BACK) : at]

    def is_a_things(self, at: int) -> bool:
        """Whether the number at a place is called an order's, an article's, a parcel's ..."""
        return THINGS_NUMBER.search(self.before(at)) is not None

    def places(self, literal: str) -> Iterator[int]:
        """Where a literal stands."""
        at = self.text.find(literal)
        while at >= 0:
            yield at
            at = self.text.find(literal, at + 1)
