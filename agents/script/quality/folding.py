"""Folding a text to what is heard: full-width, traditional, accented and look-alike characters become plain ones.

Each folded character knows where it stands in the original, so that whatever is found is shown exactly where it is.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

UNSEEN = {"Cf", "Mn", "Me"}  # zero-width characters, accents, strike-throughs, key-cap rings
DINGBAT_DIGITS = {chr(first + i): str(i + 1) for first in (0x2776, 0x2780, 0x278A) for i in range(9)}
# Letters of other alphabets that look like Latin ones, and marks that a word is joined with.
LOOK_ALIKE = {
    **dict(zip("авеёкмнорстухіјѕ", "abeekmhopctyxijs", strict=True)),
    **dict(zip("αβεικνορτυχ", "abeiknoptux", strict=True)),
    **dict.fromkeys("♥♡❣💙💚💛💜🧡🖤🤍🤎💓💕💖💗💘", "❤"),  # "v♥" is V信
    "_": "·",
}
TRADITIONAL = dict(
    zip(
        "國級絕對療藥減壓門獨無與倫極頂質標準證認專許進產領導權應養腦腎臟顏脂體膚雙實際構製業務聯繫號訊碼掃轉賬賭運財風護潔淨"
        "補虛陽陰順氣瘡傷癒創驗臨床廣電視頭腫瘤預歲兒嬰乳強貨價錢買賣單線連網頁軍隊長員機關總統飯館會堂種歧視鄉農殘廢醜"
        "術師醫誕輕鬆變縮純淨優質歷最當場見還為萬獲獎銷紅寶貝熱請記錄誰羅傑選發現東車載選擇帶給說話語講聽滿來個幾這裡邊開時間點"
        "數據檢測結論驚喜讓條則規範齡減複復燃燒濕乾濁寧壯潤腸暢",
        "国级绝对疗药减压门独无与伦极顶质标准证认专许进产领导权应养脑肾脏颜脂体肤双实际构制业务联系号讯码扫转账赌运财风护洁净"
        "补虚阳阴顺气疮伤愈创验临床广电视头肿瘤预岁儿婴乳强货价钱买卖单线连网页军队长员机关总统饭馆会堂种歧视乡农残废丑"
        "术师医诞轻松变缩纯净优质历最当场见还为万获奖销红宝贝热请记录谁罗杰选发现东车载选择带给说话语讲听满来个几这里边开时间点"
        "数据检测结论惊喜让条则规范龄减复复燃烧湿干浊宁壮润肠畅",
        strict=True,
    )
) | {"妝": "妆", "囯": "国", "粧": "妆", "腖": "冻", "瘉": "愈", "冣": "最", "朂": "最", "癌": "癌"}


@dataclass(frozen=True)
class Folded:
    """A folded text; `places[i]` is where its character i stands in the original."""

    text: str
    places: tuple[int, ...]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that text[start:end] was made of."""
        return self.places[start], self.places[end - 1] + 1


def fold(text: str) -> Folded:
    """The text as it is heard, lower case, with the way back."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for folded in fold_character(character):
            characters.append(folded)
            places.append(place)
    return Folded("".join(characters), tuple(places))


def plain(text: str) -> str:
    """The folded text alone, where nobody asks for places."""
    return fold(text).text


@lru_cache(maxsize=20_000)
def fold_character(character: str) -> str:
    """What one character is heard as: usually one, "" for an unseen one, more for a ligature."""
    if digit := DINGBAT_DIGITS.get(character):
        return digit
    parts = unicodedata.normalize("NFKD", character)
    if unicodedata.category(character) == "So" and any("\u3400" <= part <= "\u9fff" for part in parts):
        return "·"  # 🈲 and its like are put between characters, nobody reads them as one
    seen = "".join(part for part in parts if unicodedata.category(part) not in UNSEEN).lower()
    return "".join(TRADITIONAL.get(part) or LOOK_ALIKE.get(part) or part for part in seen)
