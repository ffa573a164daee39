"""Which products a request names: goods of the lexicon with the words before them, and others by their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from agents.script.data import load
from agents.script.intent.cues import pattern
from agents.script.intent.marks import GOODS, HIDDEN, KIND, NO_CATEGORY, Mark, blotted, hidden
from agents.script.words import Language

WINDOW = 400  # characters before the goods in which its name is looked for: far more than MOST_BEFORE can take
MOST_BEFORE = 6  # characters in Chinese, words in English: a longer run is a clause and no name
HAN = r"\u4e00-\u9fff"
FILLERS_ZH = pattern(load("cues")["names"]["fillers"])
RUN_ZH = re.compile(rf"[{HAN}A-Za-z0-9·\-]+")
AFTER_ZH = re.compile(r"(?:大?礼盒|大?礼包|套装|组合装|组合|喷雾|套盒)")
GENRES_ZH = "直播|话术|介绍|讲解|文案|脚本|稿|词|口播|带货"
BY_PLACE_ZH = re.compile(
    r"(?:卖|主推|推荐|介绍一下|介绍|讲讲|讲一讲|关于|安利|写写|写|来|生成|做|出|给|为|播|推|编一?[个段条]|产品是|商品是|换成)"
    r"(?:我们|咱们|我|咱)?家?的?(?:这|那)?[一两几]?[款个段条篇份版支瓶双件台]*(?:关于|介绍|卖|讲)?"
    rf"(?P<name>[{HAN}A-Za-z0-9·]{{2,8}}?)"
    rf"(?=的(?:{GENRES_ZH}|$|[，。,!！{HIDDEN}])|(?:{GENRES_ZH})|[，。,!！{HIDDEN}]|$|吧$)"
)
NO_NAMES_ZH = pattern(load("cues")["names"]["no_beginnings"])
ALL_GENRE_ZH = re.compile(rf"(?:{GENRES_ZH})+")  # 写一段讲解 names nothing
NO_INSIDE_ZH = re.compile(r"[写来做出编][一个段条篇]|一[段个条篇]")  # 枕写一段 is no name
STOPS_EN = frozenset(map(str, load("cues")["names"]["stops"]))
NO_PEOPLE_EN = ("viewers", "everyone", "people", "audience", "fans")
WORD_EN = re.compile(r"[A-Za-z0-9][A-Za-z0-9'&\-]*")
BY_PLACE_EN = re.compile(
    r"\b(?:for|about|on|of|sell(?:ing)?|promot(?:e|ing)|introduc(?:e|ing)|describ(?:e|ing)|present|pitch(?:ing)?|recommend"
    r"|showcase)\s+(?:(?:a|an|the|my|our|this|these|some)\s+)?(?!(?:for|to|of|about|on)\b)"
    r"(?P<name>[a-z0-9][a-z0-9'\- ]{2,40}?)"
    r"(?=\s+(?:for|to|on|in|with|and|but|without|at|live|livestream|stream|show|script|that|from|tonight|today)\b"
    rf"|[,.;:!?{HIDDEN}]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """A product that a text names: its name as said, its category ("" where unknown), and where it stands."""

    name: str
    category: str
    start: int
    end: int


def named_goods(text: str, marked: Sequence[Mark], language: Language) -> list[Named]:
    """Every product made of the lexicon's goods, in the order of the text."""
    found: list[Named] = []
    goods = [mark for mark in marked if mark.what == GOODS]
    others = [mark for mark in marked if mark.what != GOODS and not names_itself(mark, marked)]
    for mark in goods:
        start = before(text, mark, others, language)
        end = after(text, mark.end, language)
        if found and start <= found[-1].end and language == "zh":  # 床单被套: two goods in one name
            found[-1] = Named(text[found[-1].start : end], found[-1].category or mark.label, found[-1].start, end)
        elif not found or start >= found[-1].end:
            found.append(Named(text[start:end].strip(), category_of(mark, marked, start), start, end))
    return [*found, *headed(text, marked, found)] if language == "zh" else found


def names_itself(mark: Mark, marked: Sequence[Mark]) -> bool:
    """Whether a category's word may be part of a product's name: 婴儿 in 婴儿湿巾."""
    return mark.what == KIND and any(one.what == GOODS and one.start == mark.end for one in marked)


def category_of(mark: Mark, marked: Sequence[Mark], start: int) -> str:
    """The category of a product; things for babies are for babies, whatever they are."""
    kinds = [one.label for one in marked if one.what == KIND and start <= one.start < mark.start]
    return "baby" if "baby" in kinds else mark.label


def before(text: str, mark: Mark, others: Sequence[Mark], language: Language) -> int:
    """Where a name begins: the words before the goods that are neither fillers nor another slot's."""
    floor = max((other.end for other in others if other.end <= mark.start), default=0)
    floor = max(floor, mark.start - WINDOW)
    return before_zh(text, floor, mark.start) if language == "zh" else before_en(text, floor, mark.start)


def before_zh(text: str, floor: int, start: int) -> int:
    """As `before`, in Chinese: the run of characters up to the last filler."""
    runs = [match for match in RUN_ZH.finditer(text, floor, start) if match.end() == start]
    if not runs:
        return start
    begin = runs[0].start()
    for filler in FILLERS_ZH.finditer(text, begin, start):
        begin = filler.end()
    return begin if start - begin <= MOST_BEFORE else start


def before_en(text: str, floor: int, start: int) -> int:
    """As `before`, in English: the words up to the last one that no name has."""
    begin, words = start, 0
    for word in reversed(list(WORD_EN.finditer(text, floor, start))):
        gap = text[word.end() : begin]
        if gap.strip() or word.group().lower() in STOPS_EN or words >= MOST_BEFORE:
            break
        begin, words = word.start(), words + 1
    return begin


def after(text: str, end: int, language: Language) -> int:
    """Where a name ends: 月饼 goes on in 月饼礼盒."""
    if language != "zh":
        return end
    found = AFTER_ZH.match(text, end)
    return found.end() if found else end


@cache
def heads() -> dict[str, str]:
    """Last words of goods and their category."""
    categories = load("lexicon")["categories"].items()
    return {str(head): str(code) for code, names in categories for head in names["zh"].get("heads", ())}


def headed(text: str, marked: Sequence[Mark], found: Sequence[Named]) -> Iterator[Named]:
    """Products that no list has, known by how they end: 竹编席 by 席. Only where a name of its own stands before."""
    taken = [(mark.start, mark.end) for mark in marked] + [(one.start, one.end) for one in found]
    blank = FILLERS_ZH.sub(lambda filler: " " * len(filler.group()), blotted(text, taken))
    for run in RUN_ZH.finditer(blank):
        head = next((head for head in sorted(heads(), key=len, reverse=True) if run.group().endswith(head)), None)
        if head and len(head) < len(run.group()) <= MOST_BEFORE + len(head):
            yield Named(run.group(), heads()[head], run.start(), run.end())


def by_place(text: str, marked: Sequence[Mark], language: Language) -> Named | None:
    """A product that no list has, by its place in the sentence: 拓印板 in 来一段拓印板的介绍."""
    spans = [(mark.start, mark.end) for mark in marked if not is_verb(mark)]
    text = hidden(text, spans)
    places = BY_PLACE_ZH if language == "zh" else BY_PLACE_EN
    for match in places.finditer(text):
        name = match.group("name").strip()
        if not (no_name_zh(name) if language == "zh" else no_name_en(name)):
            return Named(name, NO_CATEGORY, match.start("name"), match.end("name"))
    return None


def is_verb(mark: Mark) -> bool:
    """Whether a scene's word may be a verb before a product: 介绍, pitch."""
    return mark.what == "scene" and mark.label in ("单品", "product")


def no_name_zh(name: str) -> bool:
    """Whether Chinese words are none that could name a product."""
    return bool(NO_NAMES_ZH.match(name) or NO_INSIDE_ZH.search(name) or ALL_GENRE_ZH.fullmatch(name))


def no_name_en(name: str) -> bool:
    """Whether English words are none that could name a product."""
    words = [word.removesuffix("'s") for word in name.lower().split()]
    if not words or words[0] in STOPS_EN or words[-1] in STOPS_EN:
        return True
    return all(word in STOPS_EN or word in NO_PEOPLE_EN for word in words)
