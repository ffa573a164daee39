"""Vehicle plates (GA 36-2018) and passports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.pii.scan import Scan, Span

PROVINCES = "京津沪渝冀晋蒙辽吉黑苏浙皖闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新"
PLATE = re.compile(
    f"[{PROVINCES}]"
    r"[A-HJ-Za-hj-z][·•.\- ]?(?:[DFdf][A-HJ-NP-Za-hj-np-z0-9][0-9]{4}|[0-9]{5}[DFdf]"
    r"|[A-HJ-NP-Za-hj-np-z0-9]{4}[挂学警港澳]|[A-HJ-NP-Za-hj-np-z0-9]{5})(?![0-9A-Za-z]|-[0-9])"
)
NEW = frozenset("更最全创崭刷翻重")  # before 新 they make a word of it
PASSPORT = re.compile(r"(?<![0-9A-Za-z*])(?:[A-Z][0-9]{8}|[A-Z]{2}[0-9]{7}|[HM][0-9]{10})(?![0-9A-Za-z])")
PAPER = re.compile(r"(?i)(?:护照|通行证|回乡证|passport|travel document)[^\n。；;]{0,14}$")


def plates(scan: Scan) -> Iterator[Span]:
    """Vehicle plates: blue and yellow ones, new energy, trailers, driving schools, police, Hong Kong and Macao."""
    if scan.ascii_only:
        return
    text = scan.text
    for found in PLATE.finditer(text):
        plate = found[0]
        is_word = plate[0] == "新" and found.start() > 0 and text[found.start() - 1] in NEW
        if not is_word and any(letter.isdigit() for letter in plate[3:]):
            yield found.span()


def passports(scan: Scan) -> Iterator[Span]:
    """Passports and travel permits; only where a word before the number says so, order numbers look the same."""
    for found in scan.in_numbers(PASSPORT, 7):
        if PAPER.search(scan.before(found.start())):
            yield found.span()


def shown_plate(plate: str) -> str:
    """京A***45."""
    return f"{plate[:2]}***{plate[-2:]}"


def shown_passport(number: str) -> str:
    """E****78."""
    return f"{number[0]}****{number[-2:]}"
