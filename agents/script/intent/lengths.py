"""How long a script is to be: seconds, minutes and their halves, or a number of characters or words to be spoken."""

from __future__ import annotations

import re

from agents.script.writing.parts import spoken_a_minute

DIGITS_ZH = {"半": 0.5, "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
WORDS_EN = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10, "fifteen": 15}
TENS_EN = {"twenty": 20, "thirty": 30, "forty": 40, "forty-five": 45, "sixty": 60, "ninety": 90}
NUMBERS: dict[str, float] = {**DIGITS_ZH, **WORDS_EN, **TENS_EN}
ZH = r"(?<!\d)\d{1,4}(?:\.\d{1,2})?|[一二两三四五六七八九十百]{1,7}"
EN = r"(?<!\d)\d{1,4}(?:\.\d{1,2})?|an?|one|two|three|four|five|ten|fifteen|twenty|thirty|forty-five|forty|sixty|ninety"
LENGTH = re.compile(
    rf"(?P<half>半)分钟|(?P<minutes>{ZH})(?:分(?P<more>半)钟?|分钟(?P<more2>半)?|分(?=(?:{ZH})秒))(?:(?P<rest>{ZH})秒)?"
    rf"|(?P<seconds>{ZH})秒钟?"
    rf"|(?P<characters>\d{{2,4}})\s*(?:个)?字"
    rf"|(?<![\w.])(?:(?P<en_half>half a|a half) ?min(?:ute)?s?(?![a-z])"
    rf"|(?P<en_minutes>{EN})[ -]?min(?:ute)?s?(?![a-z])(?P<en_more> and a half)?"
    rf"|(?P<en_seconds>{EN})[ -]?(?:seconds?|secs?|s)(?![a-z])|(?P<words>\d{{2,4}}) words\b)",
    re.IGNORECASE,
)
LEAST_SECONDS, MOST_SECONDS = 5, 600


def length_span(text: str) -> tuple[int, int, int] | None:
    """(start, end, seconds) of the first length that a text names, within what a script may have."""
    for found in LENGTH.finditer(text):
        seconds = round(seconds_of({name: value for name, value in found.groupdict().items() if value}))
        if LEAST_SECONDS <= seconds <= MOST_SECONDS:
            return found.start(), found.end(), seconds
    return None


def length_seconds(text: str) -> int | None:
    """How long the script is to be, in seconds, where the request says so."""
    found = length_span(text)
    return found[2] if found else None


def seconds_of(said: dict[str, str]) -> float:
    """The seconds of one match's groups."""
    if "half" in said or "en_half" in said:
        return 30
    if minutes := said.get("minutes") or said.get("en_minutes"):
        halves = 30 if {"more", "more2", "en_more"} & said.keys() else 0
        return 60 * number(minutes) + halves + number(said.get("rest", "0"))
    if seconds := said.get("seconds") or said.get("en_seconds"):
        return number(seconds)
    if "characters" in said:
        return 60 * int(said["characters"]) / spoken_a_minute("zh")
    return 60 * int(said["words"]) / spoken_a_minute("en")


def number(text: str) -> float:
    """What a number in digits or words counts: 3, 1.5, 三十, forty-five; 0 for none."""
    lower = text.lower()
    if lower in NUMBERS:
        return NUMBERS[lower]
    if lower.replace(".", "", 1).isdigit():
        return float(lower)
    hundreds, _, rest = lower.rpartition("百")
    tens, ten, ones = rest.rpartition("十")
    total = 100 * NUMBERS.get(hundreds, 1) if "百" in lower else 0
    return total + (10 * NUMBERS.get(tens, 1) if ten else 0) + NUMBERS.get(ones, 0)
