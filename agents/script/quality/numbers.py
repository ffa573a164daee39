"""Numbers in a text and what they count: "129元", "一百二十九块", "30毫升", "24 hours"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
TENS = {"十": 10, "百": 100, "千": 1000}
UNITS = {
    "money": "元|块钱|块|人民币|rmb|dollars?|usd|euros?|bucks|¥|\\$",
    "volume": "毫升|ml",
    "litre": "升|liters?|litres?",
    "gram": "克|grams?|g",
    "kilo": "公斤|千克|kg|kilos?",
    "jin": "斤",
    "hour": "小时|hours?|h",
    "minute": "分钟|minutes?",
    "day": "天|days?",
    "discount": "折|% off|percent off",
    "percent": "%|percent",
    "mah": "毫安时?|mah",
    "watt": "瓦|w",
    "centimetre": "厘米|cm",
    "millimetre": "毫米|mm",
}
# What is counted, each another: 30 seconds of talk are no 30 yuan, 5 scripts are no 5 boxes, and 30 pieces are no 30
# boxes. Words that are said of one thing alike stand together; those of ANY_COUNTED are said of any.
ANY_COUNTED = "counted"
COUNTERS = (
    "秒|seconds?", "条", "段", "parts?", "件", "份", "盒|box|boxes", "包|袋|packs?|bags?", "箱|cases?",
    "套|组|sets?", "瓶|罐|bottles?|jars?", "支|只|枚", "片|张|sheets?", "粒|颗|capsules?|tablets?", "台",
    "双|对|pairs?", "次|遍|times", "人|位|people", "岁",
)  # fmt: skip
COUNTED = frozenset(f"counted{i}" for i in range(len(COUNTERS)))
UNITS |= {f"counted{i}": words for i, words in enumerate(COUNTERS)}
UNITS[ANY_COUNTED] = "个|pieces?|pcs"
UNIT = "|".join(f"(?P<{name}>{words})" for name, words in UNITS.items())
ARABIC = re.compile(
    rf"(?<![a-z\d.])(?P<sign>[¥$])?(?P<number>\d+(?:,\d{{3}})*(?:\.\d+)?)[\s\-]?(?:(?:{UNIT})(?![a-z]))?"
)
# A number without a unit that is a price all the same.
PRICE_BEFORE = re.compile(r"(?:只要|只需|仅需|仅售|仅|到手|价|券后|立减|减|卖|省)(?:是|到)?\s?$|\b(?:only|just) $")
# Chinese numerals are numbers of a script only with a unit that facts have: "一块儿" and "一百种吃法" are ways to talk.
CHINESE_NUMBER = re.compile(
    r"(?:百分之(?P<part>[零〇一二两三四五六七八九十百]+))|(?P<number>[零〇一二两三四五六七八九十百千万]{2,12})"
    r"(?P<unit>元|块钱|块|毫升|克|公斤|千克|斤|毫安时?|厘米|毫米)"
)
# Numbers of the show itself: type 1, link 3, counting down; and of every shop: seven days to send it back.
OF_THE_SHOW = re.compile(
    r"(?:扣|敲|打|刷|按|回复?|发|弹幕)(?:一?个|一?波)?\s?\d{1,3}(?!\d)"
    r"|\d{1,2}\s?号(?:链接|宝贝|商品|车|位|款)?|上\s?\d{1,2}(?!\d)"
    r"|(?:倒数|倒计时)\d{1,2}|\d[、,，\s]\s?\d[、,，\s]\s?\d(?!\d)|(?<!\d)\d个数"
    r"|\b(?:type|press|link|number|item|drop a|drop)\s\d{1,3}\b"
    r"|24/7|24小时(?:在线|客服|都在)|7天无理由|(?<!\d)\d\s?(?:步|点|个问题|件事)"
)


class Number(NamedTuple):
    """A number of a folded text. unit: a name of UNITS, or None."""

    value: Decimal
    unit: str | None
    start: int
    end: int


def numbers_in(text: str) -> Iterator[Number]:
    """Every number of a folded text that states something."""
    shown = {place for match in OF_THE_SHOW.finditer(text) for place in range(*match.span())}
    for match in ARABIC.finditer(text):
        start, end = match.span("number")
        if not (start in shown and end - 1 in shown) and (value := _decimal(match["number"])) is not None:
            unit = "money" if match["sign"] else next((name for name in UNITS if match[name]), None)
            if unit is None and PRICE_BEFORE.search(text[max(0, start - 6) : start]):
                unit = "money"
            yield Number(value, unit, start, end)
    for match in CHINESE_NUMBER.finditer(text):
        said = match["part"] or match["number"]
        value = chinese_value(said)
        if value is not None:
            unit = "percent" if match["part"] else next(n for n, w in UNITS.items() if re.fullmatch(w, match["unit"]))
            yield Number(value, unit, match.start(), match.end())


def _decimal(written: str) -> Decimal | None:
    try:
        return Decimal(written.replace(",", "")).normalize()
    except InvalidOperation:
        return None


def chinese_value(said: str) -> Decimal | None:
    """ "一百二十九" -> 129, "一千二" -> 1200; None for what is no number."""
    total = section = digit = 0
    scale = 1
    for character in said:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character in TENS:
            scale = TENS[character]
            section += (digit or 1) * scale
            digit = 0
        elif character == "万":
            total += (section + digit or 1) * 10_000
            section, digit, scale = 0, 0, 10_000
        else:
            return None
    spoken_short = digit and scale >= 100 and len(said) > 1 and said[-2] in "百千万"
    return Decimal(total + section + (digit * scale // 10 if spoken_short else digit)).normalize()
