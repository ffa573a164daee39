"""The quality check: rules in every disguise, rewrites that pass, facts, bans, and the labelled sets."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.script.brief import Brief
from agents.script.check_quality import check_quality
from agents.script.data import FOLDER
from agents.script.quality.facts import facts_used, known_from
from agents.script.quality.finding import Finding
from agents.script.quality.folding import fold
from agents.script.quality.numbers import chinese_value
from agents.script.quality.packs import Pack
from agents.script.quality.shelf import book
from agents.script.quality.wording import wrong_words
from agents.script.rewrite import mend, rewrite
from agents.script.rule_writer import Part
from agents.script.rules import check
from evals import quality
from evals.__main__ import main
from evals.quality import SETS, judge, lines_of
from tests.agents.fakes import FakeContext
from tests.agents.skill_driver import Driven
from tests.agents.test_script_nodes import run_to_draft

ROOT = Path(__file__).parents[2]
NAMES = ("creator", "catch_phrase", "product", "price", "currency", "offer", "specification", "occasion", "platform",
         "audience", "category")  # fmt: skip


def brief(language: str = "zh", category: str = "beauty", **changes: Any) -> Brief:
    facts = {**dict.fromkeys(NAMES), "category": "美妆", **changes.pop("facts", {})}
    given: dict[str, Any] = {
        "query": "q", "language": language, "intent": "generate", "scene": "开场", "tone": "活泼", "category": category,
        "facts": facts, "points": (), "banned": (), "style": None, "target_length": None, "turns": (),
    }  # fmt: skip
    return Brief(**{**given, **changes})


def found(text: str, given: Brief | None = None, row: dict[str, Any] | None = None) -> list[Finding]:
    given = given or brief()
    return wrong_words(text, given, known_from(given, row))


def words_of(text: str, given: Brief | None = None, row: dict[str, Any] | None = None) -> list[str]:
    return [text[one["start"] : one["end"]] for one in found(text, given, row)]


# -- The labelled sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_the_rules_find_what_people_marked_and_little_else(name: str) -> None:
    score = judge(lines_of(name))["all"]
    assert score.precision >= 0.95, score.lines
    assert score.recall >= 0.95, score.lines


def test_the_sets_are_large_and_mixed_and_share_no_line() -> None:
    sets = {name: lines_of(name) for name in SETS}
    texts = [line.text for lines in sets.values() for line in lines]
    assert len(sets["tune"]) >= 250
    assert len(sets["held_out"]) >= 200
    assert len(texts) >= 400
    assert len(set(texts)) == len(texts)
    for lines in sets.values():
        innocent = sum(not line.expected for line in lines)
        assert 0.3 <= innocent / len(lines) <= 0.6
        assert sum(line.language == "en" for line in lines) >= 40


def test_no_line_of_the_sets_stands_in_the_rules_or_the_code() -> None:
    files = [*(FOLDER / "rule_packs").glob("*.yaml"), *(ROOT / "agents" / "script").rglob("*.py")]
    assert len(files) > 10
    known = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert [line.text for name in SETS for line in lines_of(name) if line.text in known] == []


# -- Disguises, and what only looks like one --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("这个价是最低的", "最低"),
        ("这个价是醉低的", "醉低"),
        ("这个价是最　低的", "最　低"),
        ("这个价是最😂低的", "最😂低"),
        ("这个价是最\u200b低的", "最\u200b低"),
        ("这个价是zuidi的", "zuidi"),
        ("这个价是zuì dī的", "zuì dī"),
        ("这个价是最di的", "最di"),
        ("咱是国ｊｉａ级", "国ｊｉａ级"),
        ("咱是國家級", "國家級"),
        ("咱是国j级", "国j级"),
        ("咱是国🈲家级", "国🈲家级"),
        ("咱是第①", "第①"),
        ("咱是第１", "第１"),
        ("快加ＶＸ", "加ＶＸ"),
        ("快加薇 信", "加薇 信"),
        ("能治💊疗", "治💊疗"),
    ],
)
def test_a_disguised_word_is_found_exactly_where_it_stands(text: str, words: str) -> None:
    # Given a forbidden word in a disguise, when it is looked for, then the span is the original's
    assert words_of(text) == [words]


@pytest.mark.parametrize(
    "text",
    [
        "今晚喝醉低头走路",
        "大家说一下注意事项",
        "女性爱美很正常",
        "环保过滤网",
        "局部长痘",
        "说明目的",
        "普通便宜货",
        "把灯打开光线好",
        "他很有威信",
        "第1步先倒水",
        "最 后说一句",
        "最多能放三层",
        "卫星导航",
    ],
)
def test_what_only_looks_like_a_disguise_is_fine(text: str) -> None:
    assert words_of(text) == []


@pytest.mark.parametrize(
    ("text", "word"), [("It is the 𝐛𝐞𝐬𝐭 one.", "the 𝐛𝐞𝐬𝐭"), ("It is a m-i-r-a-c-l-e.", "m-i-r-a-c-l-e")]
)
def test_english_disguises_are_found(text: str, word: str) -> None:
    assert words_of(text, brief("en")) == [word]


def test_folding_keeps_the_way_back() -> None:
    text = "a\u200bＢ①國"
    folded = fold(text)
    assert folded.text == "ab1国"
    assert [text[slice(*folded.original(i, i + 1))] for i in range(4)] == ["a", "Ｂ", "①", "國"]


def test_a_negated_claim_is_no_claim_but_what_follows_is() -> None:
    assert words_of("它不能治疗任何东西") == []
    assert words_of("它不能吃，但能治疗失眠") == ["治疗失眠"]


# -- What a finding tells ---------------------------------------------------------------------------------------------


def test_a_finding_names_rule_article_reason_and_a_rewrite_that_passes() -> None:
    given = brief(facts={"product": "云朵霜"})
    [one] = [f for f in check("这款云朵霜是全网最低价，喜欢就拍。", given) if f["family"] == "absolute"]
    assert (one["rule"], one["pack"], one["severity"]) == ("ad-law-9.3", "ad-law", "error")
    assert one["version"] == book().versions["ad-law"]
    assert "第九条" in one["article"]
    assert one["text"] in one["message"]
    assert one["rewrite"] == "这款云朵霜是直播间优惠价，喜欢就拍。"


@pytest.mark.parametrize("name", SETS)
def test_every_rewrite_passes(name: str) -> None:
    # Given every line in which something is found
    tried = 0
    for line in lines_of(name):
        row = dict(line.row or {})
        given = brief(line.language, line.category, row=row)
        known = known_from(given, row)
        for one in check(line.text, given):
            if one["rewrite"]:
                tried += 1
                # When its rewrite is checked, then nothing is wrong with it
                assert [f["text"] for f in wrong_words(one["rewrite"], given, known)] == [], one
    assert tried > 100


@pytest.mark.parametrize("category", ["beauty", "food", "fashion", "digital", "home", "baby", "general"])
def test_what_the_rules_say_instead_passes_all_rules(category: str) -> None:
    for pack in book().packs:
        for rule in pack.rules:
            for language in ("zh", "en"):
                if wording := getattr(rule, language):
                    for said in filter(None, [wording.fallback, *wording.words.values()]):
                        assert words_of(said, brief(language, category)) == [], (pack.id, rule.id, said)


def test_mended_parts_pass_and_say_nothing_twice() -> None:
    # Given a script with two sentences that only a fallback can mend, a boast and a good sentence
    given = brief(facts={"product": "云朵霜"})
    lines = ["云朵霜能治疗湿疹。", "云朵霜能根治脚气。", "它真的最好用，云朵霜就放在这里。"]
    findings = check("\n".join(lines), given)
    # When the parts are mended
    parts, changes = mend([Part(kind="body", text=line, by="rules") for line in lines], findings)
    text = "\n".join(part["text"] for part in parts)
    # Then nothing is found, the good clause is there, and the fallback once
    assert words_of(text, given) == []
    assert "云朵霜就放在这里" in text
    assert len(parts) == 2
    assert len(changes) == 3


def test_the_nodes_mend_a_script_by_the_rules_and_say_what_changed() -> None:
    # Given a script of a weak model's, with a boast, a cure and a made-up number in it
    ctx = FakeContext()
    state = run_to_draft("写一段单品介绍", ctx, product=dict(ROW), influencer_name="小雅")
    good = list(state["write"]["parts"])
    bad = [Part(kind="proof", text="它绝对好用，还能治疗湿疹！只要88元，点关注的朋友都有份。", by="model")]
    state["write"] |= {"parts": [*good[:-1], *bad, good[-1]], "writer": "rules"}
    state["write"]["script"] = "\n".join(part["text"] for part in state["write"]["parts"])
    state["check_quality"] = check_quality(state, ctx)
    families = {one["family"] for one in state["check_quality"]["findings"] if one["severity"] == "error"}
    assert families == {"absolute", "medical", "number"}
    # When it is rewritten and checked again
    state["rewrite"] = rewrite(state, ctx)
    again = check_quality(state, ctx)
    # Then it passes, the good parts are untouched, and the changes name the rules
    assert again["passed"], again["findings"]
    assert all(part["text"] in state["rewrite"]["script"] for part in good)
    assert "点关注的朋友都有份" in state["rewrite"]["script"]
    assert "ad-law-9.3" in ", ".join(change["rule"] for change in state["rewrite"]["changes"])
    assert ("price", "129") in {(one["field"], one["value"]) for one in again["facts_used"]}
    assert again["packs"] == book().versions


# -- Facts ------------------------------------------------------------------------------------------------------------

ROW = {
    "name": "云朵霜", "price": 129, "currency": "元", "specification": "50克", "brand": "云上", "origin": "新西兰",
    "selling_points": ["添加透明质酸钠", "按压泵头"], "certifications": ["外观设计专利"], "brand_bans": ["便宜货"],
    "fields": {"price": "product_profiles.price"},
}  # fmt: skip


def test_facts_of_the_row_are_marked_with_their_field() -> None:
    text = "云朵霜一瓶50克，添加透明质酸钠，今天１２９元。"
    used = {(one["field"], text[one["start"] : one["end"]]) for one in facts_used(text, ROW)}
    assert {
        ("name", "云朵霜"),
        ("specification", "50克"),
        ("selling_points", "添加透明质酸钠"),
        ("price", "１２９元"),
    } <= used
    assert [one["source"] for one in facts_used(text, ROW) if one["field"] == "price"] == ["product_profiles.price"]


@pytest.mark.parametrize(
    ("text", "unsupported"),
    [
        ("里面有玻尿酸，外观有专利。", []),
        ("里面有烟酰胺。", ["烟酰胺"]),
        ("一瓶50克，129块。", []),
        ("一瓶80克，只要99元。", ["80", "99"]),
        ("一瓶129克。", ["129"]),
        ("一百二十九块带走。", []),
        ("一百三十九块带走。", ["一百三十九块"]),
        ("想要的扣1，2号链接。", []),
    ],
)
def test_what_no_fact_supports_is_found(text: str, unsupported: list[str]) -> None:
    assert words_of(text, brief(), ROW) == unsupported


@pytest.mark.parametrize(
    ("said", "value"), [("一百二十九", 129), ("两千", 2000), ("一千二", 1200), ("十五", 15), ("三万五", 35000)]
)
def test_chinese_numbers_are_read(said: str, value: int) -> None:
    assert chinese_value(said) == value


@pytest.mark.parametrize(
    ("query", "occasion", "text", "unsupported"),
    [
        ("写一段30秒的话术", None, "今天只要30元！", ["30"]),
        ("写一段30秒的话术", None, "今天只要30！", ["30"]),
        ("写一段30秒的话术", None, "给我30秒。", []),
        ("618写一段", "618", "618元带走。", ["618"]),
        ("618写一段", "618", "618到了。", []),
        ("618写一段", "618", "只要618！", ["618"]),
        ("卖9.9元", None, "9.9元拿走。", ["9.9"]),
        ("打3折", None, "现在3折。", ["3"]),
        ("写85条30秒的", None, "库存85件。", ["85"]),
    ],
)
def test_a_number_of_the_request_is_no_price(
    query: str, occasion: str | None, text: str, unsupported: list[str]
) -> None:
    # Given a product whose row has a price, and a request with another number
    assert words_of(text, brief(query=query, row=ROW, facts={"occasion": occasion})) == unsupported


def test_without_a_price_in_the_row_the_request_may_name_one_and_nothing_else_of_it() -> None:
    row = {key: value for key, value in ROW.items() if key != "price"}
    assert words_of("9.9元拿走。", brief(query="卖9.9元", row=row)) == []
    assert words_of("9.9克一份。", brief(query="卖9.9元", row=row)) == ["9.9"]


def test_an_offer_leaves_open_what_its_numbers_count_and_what_must_be_said_may_be() -> None:
    assert words_of("满300元减50元。", brief(row={**ROW, "offer": "满300减50"})) == []
    assert words_of("今天99元。", brief(row=ROW, must_say=("今天99元",))) == []
    assert words_of("今天30元。", brief(row={**ROW, "specification": "30片"})) == ["30"]


@pytest.mark.parametrize(
    ("specification", "text", "unsupported"),
    [
        ("30片", "一盒30片。", []),
        ("30片", "一盒30张。", []),  # a mask is said of both ways
        ("30片", "一盒30个。", []),  # 个 is said of anything that is counted
        ("30片", "今天30盒。", ["30"]),
        ("30片", "今天30箱。", ["30"]),
        ("30片", "今天30支。", ["30"]),
        ("30", "今天30盒。", []),  # the row leaves open of what
        ("12瓶/箱", "12瓶一箱。", []),
        ("12瓶/箱", "12箱都有。", ["12"]),
        ("6 bottles", "6 boxes of it.", ["6"]),
        ("6 bottles", "6 bottles of it.", []),
        ("6 bottles", "6 pieces of it.", []),
    ],
)
def test_a_number_counts_what_the_row_says_it_counts(specification: str, text: str, unsupported: list[str]) -> None:
    assert words_of(text, brief(row={"name": "云朵霜", "specification": specification})) == unsupported


# -- Names -------------------------------------------------------------------------------------------------------------


def test_a_boast_in_the_registered_name_is_told_and_not_refused() -> None:
    # Given a product whose row calls it by an absolute word
    row = {"name": "天下第一泉矿泉水", "brand": "天下第一泉", "price": 3, "known": True}
    given = brief(category="food", row=row, facts={"product": row["name"], "category": "食品"})
    text = "天下第一泉矿泉水来了，天下第一泉的水3元。"
    # Then its name is a warning with the reason, to be mended by nobody, and the same words outside of it are an error
    told = found(text, given)
    assert [(one["rule"], one["severity"], one["family"], one["text"]) for one in told] == [
        ("registered-name", "warning", "absolute", "天下第一")
    ] * 2
    assert all("登记的商品名" in one["message"] and one["article"] for one in told)
    assert [one["rule"] for one in found("这水天下第一，大家放心。", given)] == ["ad-law-9.3"]
    names = [one for one in check(text, given) if one["rule"] == "registered-name"]
    assert [one["rewrite"] for one in names] == [None, None]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"name": "天下第一泉矿泉水", "known": False}, "ad-law-9.3"),  # a name that only the request says
        ({"name": "根治膏", "known": True}, "ad-law-17"),  # a cure in a name stays one
    ],
)
def test_a_name_that_nobody_registered_and_a_cure_in_a_name_are_refused(row: dict[str, Any], rule: str) -> None:
    given = brief(row=row, facts={"product": row["name"]})
    assert [(one["rule"], one["severity"]) for one in found(f"{row['name']}来了。", given)] == [(rule, "error")]


def test_the_rules_write_about_a_product_with_such_a_name() -> None:
    product = {"name": "天下第一泉矿泉水", "brand": "天下第一泉", "price": 3, "category": "food"}
    output = Driven("script", {"query": "写一段讲解", "product": product}).output
    assert "天下第一泉矿泉水" in output["script"] and output["quality"]["passed"]
    assert {one["rule"] for one in output["quality"]["findings"]} == {"registered-name"}


# -- Many words --------------------------------------------------------------------------------------------------------


def test_innocent_words_hide_no_other() -> None:
    # Given more innocent uses than hits are looked at, then a boast
    text = "最近" * 1200 + "这是国家级产品，全网最低价。"
    assert words_of(text) == ["国家级", "全网最低价"]


def test_supported_claims_hide_no_other() -> None:
    text = "含玻尿酸。" * 1200 + "能治疗失眠。"
    assert words_of(text, brief(), ROW) == ["治疗失眠"]


def test_a_text_with_too_many_words_is_told_where_the_check_stopped() -> None:
    text = "最低，" * 1100
    findings = found(text)
    [told] = [one for one in findings if one["rule"] == "too-many-words"]
    assert told["severity"] == "error"
    before = text[: told["start"]].count("最低")
    assert before > 100
    assert sum(one["family"] == "absolute" for one in findings) == before


# -- Evals -------------------------------------------------------------------------------------------------------------


def test_no_line_of_the_held_out_set_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given sets whose every line is missed
    monkeypatch.setattr(quality, "findings", lambda line: [])
    # When the misses are shown, then those of the set that the rules are made with
    shown = quality.wrong()
    assert shown
    assert all(line.startswith("tune: ") for line in shown)


# -- Bans and platforms -----------------------------------------------------------------------------------------------


def test_bans_of_creator_and_brand_are_found_in_disguise() -> None:
    given = brief(banned=("白菜价",), must_not_say=("清仓",), facts={"creator": "小雅"})
    rules = [(one["rule"], one["text"]) for one in found("真是白 菜 價，才不是便宜货，更不是清cang", given, ROW)]
    assert rules == [("creator-ban", "白 菜 價"), ("brand-ban", "便宜货"), ("request-ban", "清cang")]


@pytest.mark.parametrize(("platform", "count"), [("抖音", 1), ("淘宝直播", 0), (None, 0)])
def test_a_platforms_pack_holds_on_that_platform_only(platform: str | None, count: int) -> None:
    assert len(found("淘宝那边的朋友你们好", brief(facts={"platform": platform}))) == count


def test_a_category_pack_holds_for_its_category_only() -> None:
    assert words_of("这就是药妆", brief(category="beauty")) == ["药妆"]
    assert words_of("这就是药妆", brief(category="fashion")) == []


# -- Shape ------------------------------------------------------------------------------------------------------------


def rules_of(text: str, given: Brief, **more: Any) -> dict[str, str]:
    return {one["rule"]: one["severity"] for one in check(text, given, **more)}


def test_a_missing_ending_and_a_missing_voice_are_told_and_not_refused() -> None:
    given = brief(tone="活泼", own_tone="活泼", catch_phrases=("姐妹们听我说",))
    parts = [{"kind": "opening"}, {"kind": "preview"}]
    rules = rules_of("美妆" * 40 + "。", given, parts=parts)
    assert rules == {"structure": "warning", "style": "warning"}
    assert "style" not in rules_of("姐妹们听我说，" + "美妆" * 40 + "。", given, parts=parts)


def test_a_word_of_another_tone_is_told_where_it_stands() -> None:
    text = "家人们好，" + "美妆" * 40
    [one] = [one for one in check(text, brief(tone="专业")) if one["rule"] == "style"]
    assert text[one["start"] : one["end"]] == "家人们"


def test_what_must_be_said_and_is_not_is_told() -> None:
    assert rules_of("美妆" * 40, brief(must_say=("假期不打烊",))) == {"must-say": "warning"}


# -- Speed ------------------------------------------------------------------------------------------------------------


def test_two_thousand_characters_are_checked_in_twenty_milliseconds() -> None:
    # Given 2,000 characters of ordinary talk with a few boasts, and packs that are compiled
    talk = "".join(f"第{i}句来聊聊这个颜色和质地，大家可以先看看细节再决定要不要带走。" for i in "甲乙丙丁戊己庚辛") * 8
    text = (talk[:990] + "这真是最好的。" + talk)[:1990] + "它能治疗失眠。"
    given = brief(row=ROW)
    known = known_from(given)
    assert {one["family"] for one in wrong_words(text, given, known)} >= {"absolute", "medical"}
    # When it is checked with rewrites, the fastest of a few, for others share this machine
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        check(text, given)
        seconds.append(time.perf_counter() - began)
    # Then
    assert min(seconds) < 0.020


@pytest.mark.parametrize(
    "text", ["最" * 50_000, "第一步" * 20_000, "b e s t " * 10_000, "无效，" * 20_000, "1" * 50_000]
)
def test_a_text_made_to_be_slow_is_not(text: str) -> None:
    began = time.perf_counter()
    check(text, brief())
    assert time.perf_counter() - began < 20


def test_the_suites_are_run_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quality"]) == 0
    shown = capsys.readouterr().out
    assert "precision" in shown
    assert "held_out" in shown
    assert main(["nothing"]) == 2


# -- The packs as files -----------------------------------------------------------------------------------------------


def test_every_pack_is_whole_and_every_character_that_can_be_spelled_has_its_sound() -> None:
    evasions = yaml.safe_load((FOLDER / "rule_packs" / "evasions.yaml").read_text(encoding="utf-8"))
    characters = [one for group in evasions["sounds"].values() for one in group]
    packs: tuple[Pack, ...] = book().packs
    families = ("absolute", "medical", "health", "guarantee", "infant", "platform")
    words = "".join(
        w for p in packs for r in p.rules if r.zh and r.family in families for w in r.zh.words if len(w) > 1
    )
    missing = {one for one in words if "\u4e00" <= one <= "\u9fff"} - set(characters)
    assert missing == set()
    assert {"ad-law", "cosmetics", "food", "electronics", "platform", "claim"} <= {pack.id for pack in packs}
