"""Telephone numbers: Chinese mobiles and landlines, and any country's that is written with + and its code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.pii.scan import Scan, Span

FREE_BEFORE = r"(?<![0-9A-Za-z*])(?<![0-9][-.])"
MOBILE = re.compile(
    FREE_BEFORE
    + r"(?:\(?(?:\+|00)?86\)?[ -]?)?1[3-9][0-9](?:[0-9]{8}|([ .-])[0-9]{4}\1[0-9]{4})(?![0-9A-Za-z]|\.[0-9])"
)
AREA = (
    r"(?:(?:10|2[0-57-9])\)?(?P<mark>[ -]?)(?:[1-9][0-9]{7}|[1-9][0-9]{3}[ -][0-9]{4})"
    r"|[3-9][0-9]{2}\)?(?P<mark2>[ -]?)(?:[1-9][0-9]{6,7}|[1-9][0-9]{2,3}[ -][0-9]{4}))"
)
LANDLINE = re.compile(
    FREE_BEFORE + r"(?P<country>\(?(?:\+|00)86\)?[ -]?)?(?P<trunk>\(?0)?" + AREA
    + r"(?:(?:-|转| ?ext\.? ?)[0-9]{1,6})?(?![0-9A-Za-z]|\.[0-9])"
)  # fmt: skip
LOCAL = re.compile(r"(?<![0-9A-Za-z*])[2-8][0-9]{6,7}(?![0-9A-Za-z]|\.[0-9])")
LOCAL_CALLED = re.compile(r"(?:电话|座机|固话|传真|\b[Tt]el\.?|\b[Ff]ax)[^0-9A-Za-z\n]{0,4}$")
CALLED = re.compile(r"(?i)(?:电话|座机|固话|传真|致电|拨打?|手机|联系|tel|phone|call|fax)[^0-9A-Za-z]{0,6}$")
FOREIGN = re.compile(r"(?<![0-9A-Za-z+*])\+[1-9](?:[ .()\-]{0,2}[0-9]){7,14}(?![0-9A-Za-z])")
NORTH_AMERICA = re.compile(r"1[2-9][0-9]{2}[2-9][0-9]{6}")
# ITU-T E.164: the codes of two digits, and how those of three begin
TWO_DIGITS = frozenset(
    [20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, *range(90, 96),
     98]
)  # fmt: skip
THREE_DIGITS = frozenset(
    [*range(21, 27), 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99]
)  # fmt: skip


def mobiles(scan: Scan) -> Iterator[Span]:
    """Chinese mobile numbers, with or without country code, spaces and dashes."""
    for found in scan.in_numbers(MOBILE, 11):
        if not scan.is_a_things(found.start()):
            yield found.span()


def landlines(scan: Scan) -> Iterator[Span]:
    """Chinese landlines: with an area code that is set apart, or after a word for telephone."""
    for found in scan.in_numbers(LANDLINE, 9):
        if not (found["country"] or found["trunk"]):
            continue
        apart = found["country"] or found["mark"] or found["mark2"] or found["trunk"] != "0"
        if apart or CALLED.search(scan.before(found.start())):
            yield found.span()
    for found in scan.in_numbers(LOCAL, 7):
        if LOCAL_CALLED.search(scan.before(found.start())):
            yield found.span()


def foreign(scan: Scan) -> Iterator[Span]:
    """Numbers with + and a country's code other than China's."""
    if "+" in scan.text:
        for found in scan.in_numbers(FOREIGN, 7):
            digits = re.sub("[^0-9]", "", found[0])
            if _is_assigned(digits) and not (found[0][1:] == digits and digits.endswith("0000")):
                yield found.span()


def _is_assigned(digits: str) -> bool:
    if digits[0] == "1":
        return NORTH_AMERICA.fullmatch(digits) is not None
    if digits[0] == "7":
        return len(digits) == 11
    code = int(digits[:2])
    return (code in TWO_DIGITS and 9 <= len(digits) <= 13) or (code in THREE_DIGITS and len(digits) >= 10)


def shown_mobile(number: str) -> str:
    """138****8000."""
    digits = re.sub("[^0-9]", "", number)[-11:]
    return f"{digits[:3]}****{digits[-4:]}"


def shown_landline(number: str) -> str:
    """010-****5678; without an area code ****5678."""
    whole = re.sub("(?:-|转| ?ext.*)[0-9]{1,6}$", "", number) if len(re.sub("[^0-9]", "", number)) > 12 else number
    digits = re.sub("[^0-9]", "", whole)
    local = digits.removeprefix("0086").removeprefix("86") if digits[:2] in ("00", "86") and len(digits) > 9 else digits
    if len(local) < 9:
        return f"****{digits[-4:]}"
    local = local.removeprefix("0")
    area = local[: 2 if local[0] in "12" else 3]
    return f"0{area}-****{local[-4:]}"


def shown_foreign(number: str) -> str:
    """+1****71: the code and two digits."""
    digits = re.sub("[^0-9]", "", number)
    code = 1 if digits[0] in "17" else 2 if int(digits[:2]) in TWO_DIGITS else 3
    return f"+{digits[:code]}****{digits[-2:]}"
