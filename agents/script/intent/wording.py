"""What a creator wants to be said, or not to be said, in so many words: 「一定要提到包邮」, "don't say cheap"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.script.words import Language

OPEN, CLOSE = '「『“《"‘', '」』”》"’'
QUOTED = re.compile(rf"[{OPEN}]([^{OPEN}{CLOSE}]{{1,40}})[{CLOSE}]|(?<!\w)'([^']{{2,40}})'(?!\w)")
SAY_ZH = (
    "(?:说到|说明|说|提到|提及|提一下|提一句|提|讲到|讲清楚|带上|带一句|包含|强调|写上|写进|加上|出现)(?:一下|一句)?"
)
NO_ZH = r"不要|别|(?<!能)不能|不许|(?<!可)不可以|不准|不得|禁止|切勿|千万别|不想|不"
VALUE_ZH = rf"[{OPEN}][^{CLOSE}]+[{CLOSE}](?:[、和或跟及][{OPEN}][^{CLOSE}]+[{CLOSE}])*|[^，。,.!！?？；;\n]+"
VALUE_EN = r"[\"“'][^\"”']+[\"”']|.+?(?=[,.;!?\n]|\bbut\b|\band (?:don't|do not|never|avoid|keep|make)\b|\bwithout\b|$)"
MUST_NOT_ZH = re.compile(
    rf"(?:(?:{NO_ZH})再?(?:出现|说到|说|提到|提及|提|讲到|讲|用|写上|写|带)上?"
    rf"|避免(?:出现|使用|说|提到|提)?)(?P<value>{VALUE_ZH})"
)
MUST_ZH = re.compile(
    rf"(?:(?<!不)(?:一定要|必须要?|务必|千万要|记得要?|别忘了?|得|要|需要){SAY_ZH}|(?:加上|加一句|加入|加进|补上|插入)(?=[{OPEN}]))"
    rf"(?P<value>{VALUE_ZH})"
)
CUT_ZH = re.compile(
    r"把(?P<value>[^，。,把]{2,12}?)[这那几一]?(?:句|个词|词|段|点)?话?给?都?(?:删掉|删了|删除|删|去掉|拿掉|划掉)"
)
SAYING_EN = r"say(?:ing)?|mention(?:ing)?|use|using|claim(?:ing)?|promis(?:e|ing)"
MUST_NOT_EN = re.compile(
    rf"(?:(?:don't|do not|dont|never|not|without|avoid|stop)\s+(?:ever\s+)?(?:{SAYING_EN})"
    r"|\bavoid|\b(?:remove|delete|drop|leave out|skip) (?=(?:the )?(?:word|phrase|words)\b|[\"“']))"
    rf"\s*(?:the (?:word|words|phrase)\s+)?(?:that\s+)?(?P<value>{VALUE_EN})",
    re.IGNORECASE,
)
MUST_EN = re.compile(
    r"(?:(?:must|has to|have to|needs? to|should)\s+(?:mention|say|include|contain)"
    r"|(?:make sure|be sure|remember|don't forget)(?: that (?:you|it))?(?: to)?\s+(?:mentions?|says?|includes?)"
    r"|\b(?:include|add|insert|mention) (?=the (?:word|words|phrase|sentence|line)\b|[\"“']))"
    rf"\s*(?:the (?:word|words|phrase|sentence|line)\s+)?(?:that\s+)?(?P<value>{VALUE_EN})",
    re.IGNORECASE,
)
TAIL_ZH = re.compile(
    r"(?:这种|这类|这样|这几个|这些|那种|之类|等|这个|这几)?的?(?:词语|词儿|词|字眼|字样|话|说法|字|表述)?[了哦吧啊呀嘛]?$"
)
TAIL_EN = re.compile(r"\s+(?:please|either|again|anywhere|at all)$")
SPLIT_ZH, SPLIT_EN = re.compile(r"[、和或]|以及|还有"), re.compile(r"\s*,\s*|\s+or\s+|\s+nor\s+")
PLACES = re.compile(r"^(?:第|最后|开头|结尾|中间|这|那|它|上|the (?:first|second|third|last)|it$|that$|this$)")


@dataclass(frozen=True)
class Wording:
    """The words that must stand and those that must not, and where the request says so (span: cue and value)."""

    must_say: tuple[str, ...]
    must_not_say: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


def wording(text: str, language: Language) -> Wording:
    """What the text says about words to use or to leave out."""
    must_not, must = (MUST_NOT_ZH, MUST_ZH) if language == "zh" else (MUST_NOT_EN, MUST_EN)
    banned: list[str] = []
    wanted: list[str] = []
    spans: list[tuple[int, int]] = []
    patterns = [(must_not, banned), (must, wanted), *([(CUT_ZH, banned)] if language == "zh" else [])]
    for pattern, found in patterns:
        for match in pattern.finditer(text):
            taken = any(match.start() < end and start < match.end() for start, end in spans)
            values = [] if taken else values_of(match.group("value"), language)
            if values:
                found.extend(value for value in values if value not in found)
                spans.append(match.span())
    return Wording(tuple(wanted), tuple(banned), tuple(spans))


def values_of(said: str, language: Language) -> list[str]:
    """The single words or phrases of what follows a cue; none where it names a place of the script instead."""
    quoted = [one or other for one, other in QUOTED.findall(said)]
    if quoted:
        return [value.strip() for value in quoted]
    if language == "zh":
        parts = [TAIL_ZH.sub("", part.strip()) for part in SPLIT_ZH.split(TAIL_ZH.sub("", said.strip()))]
    else:
        parts = [TAIL_EN.sub("", part.strip()) for part in SPLIT_EN.split(said.strip())]
    return [part for part in parts if part and not PLACES.match(part.lower())]
