"""Chinese personal names, where a word beside them or a telephone number gives them away.

A name alone cannot be told from other words (高兴, 白色), so nothing is found without its context. A surname with a
title (王先生) is what masking leaves of a name, and is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from policy.pii import cards, telephones
from policy.pii.addresses import PLACES
from policy.pii.scan import HAN, Scan, Span

_WORDS = yaml.safe_load((Path(__file__).parent / "data" / "names.yaml").read_text(encoding="utf-8"))
LISTS = {name: tuple(dict.fromkeys(words.split())) for name, words in _WORDS.items()}
COMPOUND = frozenset(LISTS["compound"])
ANY_SURNAME = frozenset(LISTS["common"]) | frozenset(LISTS["everyday"])
SURNAMES = ANY_SURNAME - frozenset(LISTS["everyday"])
NEVER_GIVEN = frozenset(LISTS["never_given"])
FOLLOWERS = LISTS["followers"]
WORDS = frozenset((*LISTS["words"], *PLACES))
ENDS_A_WORD = frozenset(LISTS["ends_a_word"])
HAN_RUN = re.compile(f"[{HAN}]{{1,8}}")
LONG_NAME = re.compile(f"[{HAN}]{{1,6}}(?:[·•][{HAN}]{{1,8}}){{1,3}}")  # 阿凡提·买买提

LABEL = re.compile(
    r"(?:姓名|名字|收件人|收货人|寄件人|发件人|联系人|联络人|申请人|持卡人|持有人|开户人|开户名|户名|收款人|付款人|汇款人|订餐人|下单人|订票人"
    r"|预订人|预约人|签收人|经办人|负责人|承办人|审批人|法定代表人|法人代表|法人|投诉人|举报人|当事人|被告|原告|受益人|被保险人|投保人|监护人"
    r"|客户|用户|患者|病人|乘客|旅客|乘车人|入住人|驾驶员|司机|租客|房东|业主|借款人|担保人|乙方|甲方|学员|考生|证人|死者|伤者|嫌疑人)"
    r"[\"'”’]?(?P<mark>[ \t]{0,2}(?:[:：=]|是|为|名叫|叫)[ \t]{0,2}|[ \t]{1,2})?[\"'“‘]?"
)
ENGLISH_MARK = re.compile(f"[:=] {{0,2}}[\"']?(?=[{HAN}])")
ENGLISH_LABELS = (
    "realname", "fullname", "contactname", "customername", "receivername", "recipientname", "consigneename",
    "buyername", "username", "passengername", "patientname", "consignee", "recipient", "receiver", "addressee",
    "contact",
)  # fmt: skip
INTRODUCED = re.compile("叫做?|我是|这边是|本人[:：，]?|名字是|全名是|大名是")
TITLE = re.compile("先生|女士|小姐|太太|夫人|老师|医生|大夫|教授|同学|经理|师傅|同志|主任|律师|警官|护士|阿姨|叔叔")
TITLES = tuple(TITLE.pattern.split("|"))
BESIDE = re.compile(f"(?<![{HAN}])([{HAN}]{{2,4}})[ \t,，、:：/|(（\\-]{{1,3}}$")
BEHIND = re.compile(f"[ \t,，、/|)）\\-]{{1,3}}([{HAN}]{{2,4}})(?![{HAN}])")


def names(scan: Scan) -> Iterator[Span]:
    """Full names after a label or an introduction, before a title, beside a telephone or identity card number."""
    if scan.ascii_only:
        return
    text = scan.text
    for found in LABEL.finditer(text):
        told = (found["mark"] or "").strip() in (":", "：", "=", "为", "名叫", "叫")
        yield from _after_label(text, found.end(), told=told)
    for found in ENGLISH_MARK.finditer(text):
        label = scan.before(found.start()).rstrip("\"' ").replace("_", "").replace(" ", "").lower()
        if label.endswith(ENGLISH_LABELS):
            yield from _after_label(text, found.end(), told=True)
    for found in INTRODUCED.finditer(text):
        alone = found[0] in ("我是", "本人", "这边是")
        yield from _strictly(text, found.end(), alone=alone)
    for found in TITLE.finditer(text):
        yield from _before_title(text, found.start())
    yield from _beside_numbers(scan)


def _after_label(text: str, at: int, *, told: bool) -> Iterator[Span]:
    """told: a sign says that what follows is the label's."""
    if long := LONG_NAME.match(text, at):
        yield long.span()
        return
    end = _end(text, at, ANY_SURNAME if told else SURNAMES, guess=told)
    if end and text[at:end] not in WORDS and ((told and _stands_alone(text, end)) or text[at : at + 2] not in WORDS):
        yield at, end


def _strictly(text: str, at: int, *, alone: bool) -> Iterator[Span]:
    """After words such as 我叫, which other words may follow too. alone: only where nothing follows the name."""
    end = _end(text, at, SURNAMES, guess=False)
    if end and text[at : at + 2] not in WORDS and (not alone or _stands_alone(text, end)):
        yield at, end


def _before_title(text: str, end: int) -> Iterator[Span]:
    """The longest name that ends here; its first character may belong to a word before it (感谢李明先生)."""
    for length in (4, 3, 2):
        start = end - length
        name = text[start:end] if start >= 0 else ""
        if _is_name(name, SURNAMES) and text[max(0, start - 1) : start + 1] not in ENDS_A_WORD:
            yield start, end
            return


def _beside_numbers(scan: Scan) -> Iterator[Span]:
    if not scan.numbers:
        return
    for find in (telephones.mobiles, cards.id_cards):
        for start, end in find(scan):
            for found in (BESIDE.search(scan.before(start)), BEHIND.match(scan.text, end)):
                if found and _is_name(found[1], SURNAMES):
                    offset = 0 if found.re is BEHIND else start - len(scan.before(start))
                    yield found.start(1) + offset, found.end(1) + offset


def _end(text: str, at: int, surnames: frozenset[str], *, guess: bool) -> int | None:
    """Where the name ends that begins here. guess: a name that runs on into other words is taken to have two
    characters after its surname."""
    found = HAN_RUN.match(text, at)
    run = found[0] if found else ""
    surname = 2 if run[:2] in COMPOUND else 1 if run[:1] in surnames else 0
    given = run[surname:]
    if not surname or not given or given.startswith((*FOLLOWERS, *TITLES)) or given[0] in NEVER_GIVEN:
        return None
    if len(given) == 1:
        return at + surname + 1
    if given[1] in NEVER_GIVEN or given[1:].startswith(FOLLOWERS):
        return at + surname + 1
    if len(given) == 2 or given[2:].startswith(FOLLOWERS) or guess:
        return at + surname + 2
    return None


def _stands_alone(text: str, end: int) -> bool:
    return not ("\u4e00" <= text[end : end + 1] <= "\u9fa5")


def _is_name(name: str, surnames: frozenset[str]) -> bool:
    """Whether this is a surname with one or two characters that given names have, and no other word."""
    surname = 2 if name[:2] in COMPOUND else 1 if name[:1] in surnames else 0
    given = name[surname:]
    if not surname or not 1 <= len(given) <= 2 or not HAN_RUN.fullmatch(name):
        return False
    return not (name[:2] in WORDS or name.endswith(TITLES) or any(character in NEVER_GIVEN for character in given))


def shown_name(name: str) -> str:
    """张*, 欧阳**: the surname; of 阿凡提·买买提 the first character."""
    if "·" in name or "•" in name:
        return f"{name[0]}***"
    kept = 2 if name[:2] in COMPOUND else 1
    return name[:kept] + "*" * (len(name) - kept)
