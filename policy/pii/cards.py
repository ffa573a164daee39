"""Numbers with a check digit: resident identity cards (GB 11643-1999) and bank cards (ISO/IEC 7812, Luhn)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from policy.pii.scan import Scan, Span

ID_CARD = re.compile(
    r"(?<![0-9A-Za-z*])[1-9][0-9]{5}([ -]?)(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])\1"
    r"[0-9]{3}[0-9Xx](?![0-9A-Za-z])"
)
OLD_ID_CARD = re.compile(
    r"(?<![0-9A-Za-z.*])[1-9][0-9]{7}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}(?![0-9A-Za-z]|\.[0-9])"
)
PROVINCES = frozenset(
    [*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83]
)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
CHECKS = "10X98765432"
BANK_CARD = re.compile(
    r"(?<![0-9A-Za-z*])(?<![0-9][-.])(?:[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(?:\1[0-9]{1,3})?"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{6} [0-9]{10,13})(?![0-9A-Za-z]|[-.][0-9])"
)
# How the numbers of the networks begin, and how long they are; then cards that Chinese banks gave out before UnionPay
NETWORKS = re.compile(
    r"62[0-9]{14,17}"  # UnionPay
    r"|4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa; also Construction Bank's 4367 and Bank of China's 4563 with 19
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"  # American Express, Diners
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # Discover, JCB
    r"|(?:9558[0-9]|95599|60138|103[0-9]{2})[0-9]{14}|405512[0-9]{11}|601428[0-9]{11}"
)


def id_cards(scan: Scan) -> Iterator[Span]:
    """The 18 digits with province, date and check digit right, and the old 15 with province and date."""
    for found in scan.in_numbers(ID_CARD, 17):
        if _is_id_card(re.sub("[ -]", "", found[0]).upper()):
            yield found.span()
    for found in scan.in_numbers(OLD_ID_CARD, 15):
        digits = found[0]
        if int(digits[:2]) in PROVINCES and _is_date("19" + digits[6:12]) and not scan.is_a_things(found.start()):
            yield found.span()


def _is_id_card(number: str) -> bool:
    if int(number[:2]) not in PROVINCES or not _is_date(number[6:14]):
        return False
    return CHECKS[sum(int(digit) * weight for digit, weight in zip(number, WEIGHTS, strict=False)) % 11] == number[17]


def _is_date(digits: str) -> bool:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year > 1850
    except ValueError:
        return False


def bank_cards(scan: Scan) -> Iterator[Span]:
    """What begins as the cards of a network do, has their length, and is right by Luhn."""
    for found in scan.in_numbers(BANK_CARD, 13):
        digits = re.sub("[ -]", "", found[0])
        if NETWORKS.fullmatch(digits) and _is_luhn(digits) and not scan.is_a_things(found.start()):
            yield found.span()


def _is_luhn(digits: str) -> bool:
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(map(int, digits[::-2])) + sum(two - 9 if two > 9 else two for two in doubled)) % 10 == 0


def shown_id_card(number: str) -> str:
    """110***********0021: the province and the last four."""
    digits = re.sub("[ -]", "", number)
    return f"{digits[:3]}{'*' * (len(digits) - 7)}{digits[-4:]}"


def shown_bank_card(number: str) -> str:
    """****1234."""
    return f"****{re.sub('[ -]', '', number)[-4:]}"
