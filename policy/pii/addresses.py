"""Postal addresses: a road, a village or an estate with numbers, and all that stands with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from policy.pii.scan import HAN, Scan, Span

NUMBER = r"(?:[甲乙丙丁]?[0-9]{1,5}(?:[-之][0-9]{1,4})?|[A-Za-z][0-9]{0,2}|[甲乙丙丁一二三四五六七八九十百]{1,4})"
BUILDING = (
    f"(?:[{HAN}A-Za-z]{{1,12}}?(?:大厦|广场|花园|家园|小区|公寓|中心|大楼|商场|学园|科技园|软件园|产业园|工业园|园区|校区|大学|学院"
    "|学校|医院|酒店|写字楼|[城苑府湾]))"
)
UNIT = f"(?:{NUMBER}(?:期|号楼|号院|号|院|弄|栋|幢|座|单元|层|楼|室|户|门(?!口)))"
TAIL = re.compile(
    f"(?:[ ，,]?(?:{BUILDING}[ ]?)?(?:{UNIT}[ ]?)+|{BUILDING}(?![{HAN}])){{0,3}}"
    "(?:(?<=[元栋幢座楼层])[0-9]{2,4}(?![0-9年月日元]))?"
)
# A road or a village with the number of a house; an estate with a building, and a unit or a room behind it. Both begin
# with one set of characters, which is what makes them fast; the words that these end are looked at afterwards.
HOUSE = re.compile(
    r"[路街道巷弄同村庄屯镇乡里][东西南北]?(?:[东西南北中一二三四五六七八九十]{1,2}段)?[ ]?"
    + NUMBER
    + "(?:号院|号|弄|院|组|社)"
)
ESTATE = re.compile(
    f"[园区寓场村城苑府湾庭居里](?:[0-9一二三四五六七八九十]期)?[ ]?{NUMBER}(?:号楼|栋|幢|座|楼)"
    f"(?=[ ]?(?:{NUMBER}(?:单元|层|楼|室|门)|[0-9]{{3,4}}))"
)
WHOLE_WORD = {"同": "胡同", "场": "广场", "寓": "公寓"}  # of these characters only this word counts
NOT_HOUSES = re.compile(
    r"[ ]?(?:口|线|店|窗|机|选手|车|台|桌|站台|柜|闸|出口|出入口|选|节目|员|球|结果|就|码|下午|上午|文)"
)
NO_ROADS = (
    "知道", "频道", "味道", "渠道", "通道", "车道", "管道", "赛道", "跑道", "报道", "隧道", "轨道", "难道", "地道",
    "一路", "上路", "半路", "网路", "电路", "线路", "思路", "铁路", "高速路", "走路", "道路", "马路", "问路", "带路",
    "顺路", "同路", "修路", "堵路", "套路", "出路", "退路", "逛街", "上街", "街道",
)  # fmt: skip
SEGMENT = re.compile(f"(?:[{HAN}0-9A-Za-z]|(?<=[省市区县镇乡]) )+$")
CUE = re.compile(
    "(?:地址|住址|[在到至往住于寄送去从的是为给和与、]|改成|改到|发往|发到|发货|搬家|位于|前往|家住|注册|定位|请|麻烦)+"
)
LONGEST_BEFORE = 60
PLACES = (Path(__file__).parent / "data" / "places.txt").read_text(encoding="utf-8").split()
PLACE = re.compile("|".join(sorted(map(re.escape, PLACES), key=len, reverse=True)))
ADMINISTRATIVE = re.compile(
    f"(?:[{HAN}]{{2,8}}?(?:省|自治区)[ ]?)?(?:[{HAN}]{{2,7}}?(?:市|自治州|地区)[ ]?)?"
    f"(?:[{HAN}]{{1,6}}?(?:(?<!小)(?<!社)区|县|旗|市)[ ]?)?"
)
ENGLISH_ROAD = re.compile(r"(?:Road|Street|Avenue|Lane|Boulevard|Rd|St|Ave)\b\.?")
ENGLISH_HOUSE = re.compile(
    r"(?:(?:Room|Rm\.?|Unit|Flat|Apt\.?|Suite) ?[0-9A-Z\-]{1,6},? )?(?:No\. ?[0-9]{1,5}[A-Z]?,? |\b[0-9]{1,5} )"
    r"(?:[A-Z][a-z]{1,15} ){1,4}$"
)
ENGLISH_TOWN = re.compile(r"(?:, ?[A-Z][a-z]+(?: [A-Z][a-z]+){0,2}){0,4}")
YEAR = re.compile("(?:19|20)[0-9]{2} ")


def addresses(scan: Scan) -> Iterator[Span]:
    """Chinese addresses with a number, English ones like `No. 88, Jianguo Road` and `12 High Street, Town`."""
    yield from _english(scan)
    if scan.ascii_only:
        return
    text, past = scan.text, 0
    cores = [*HOUSE.finditer(text), *ESTATE.finditer(text)]
    for core in sorted(cores, key=lambda found: found.start()):
        if core.start() < past or NOT_HOUSES.match(text, core.end()):
            continue
        start = _start(text, core, max(past, core.start() - LONGEST_BEFORE))
        if start is not None:
            tail = TAIL.match(text, core.end())
            past = tail.end() if tail else core.end()
            yield start, past


def _start(text: str, core: re.Match[str], earliest: int) -> int | None:
    """Where the address begins that has its core here; None: what looks like a road or an estate has no name."""
    before = SEGMENT.search(text[earliest : core.start()])
    if not before:
        return None
    segment, start = before[0], earliest + before.start()
    place = PLACE.search(segment)
    if place:
        start += place.start()
    else:
        for cue in CUE.finditer(segment):
            if cue.end() < len(segment):
                start = earliest + before.start() + cue.end()
    name = text[start : core.start()]
    ending = name[-2:] + core[0][0]
    if (word := WHOLE_WORD.get(core[0][0])) and not ending.endswith(word):
        return None
    if not re.search(f"[{HAN}]", name) or ending.endswith(NO_ROADS) or len(name) > LONGEST_BEFORE - 2:
        return None
    if not place and len(name) > 12:
        return None
    return start


def _english(scan: Scan) -> Iterator[Span]:
    """A year is no house number (In 2026 Wall Street, ...): without `No.` a town must follow."""
    text = scan.text
    for road in ENGLISH_ROAD.finditer(text):
        before = text[max(0, road.start() - LONGEST_BEFORE) : road.start()]
        house = ENGLISH_HOUSE.search(before)
        if not house:
            continue
        town = ENGLISH_TOWN.match(text, road.end())
        end = town.end() if town else road.end()
        if "No." in house[0] or (end > road.end() and not YEAR.match(house[0])):
            yield road.start() - len(before) + house.start(), end


def shown_address(address: str) -> str:
    """杭州市西湖区****: down to the district; of an English one nothing."""
    kept = ADMINISTRATIVE.match(address)
    return f"{kept[0].strip() if kept else ''}****"
