"""The script skills through their real nodes: what they change, what they keep, what a batch makes of a bad item."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from agents.script.brief import brief_from
from agents.script.data import load
from agents.script.recognize_intent import understand
from agents.script.rules import check_words
from agents.script.skills.answer import brief_of
from agents.script.skills.batch import RETRIES, batch_item, reasons, state_for
from node import Final, Retry
from tests.agents.fakes import FakeContext, FakeModels
from tests.agents.skill_driver import Driven
from tests.agents.test_clarify import Ledgered

SERUM = "\n".join(
    [
        "大家好，我是小雅，今天聊聊晨露水润精华。先坐下来，不着急。",
        "换季脸上是不是干得发紧？涂什么都卡粉，谁还没遇到过呢。",
        "晨露水润精华，质地轻薄好推开。三十秒就能抹匀，早晚都能用。",
        "今天直播间129元，下单送旅行装。价格您自己看，合适再拍。",
        "您是油皮还是干皮？打在公屏上，我挑几条念一念。",
        "要的朋友点下方链接，拍完记得备注。咱们慢慢聊，不着急走。",
    ]
)
PARTS = SERUM.split("\n")


def changed(chain: str, given: dict[str, Any], ctx: FakeContext | None = None) -> Driven:
    return Driven(chain, {"script": SERUM, **given}, ctx)


def texts(run: Driven) -> list[str]:
    return [part["text"] for part in run.output["parts"]]


# -- modify --------------------------------------------------------------------------------------------------------


def test_what_has_to_be_said_is_added_and_nothing_else_is_touched() -> None:
    run = changed("script.modify", {"query": "一定要提到包邮"})
    # Then one part is different, and that one only longer
    (one,) = run.output["diff"]
    assert one["after"].startswith(one["before"]) and "包邮" in one["after"]
    assert [text for text in texts(run) if text != one["after"]] == [part for part in PARTS if part != one["before"]]
    # And rules do this exactly: nobody misses a model
    assert run.ctx.degraded == []


def test_a_word_that_must_not_be_said_takes_its_sentence_along() -> None:
    run = changed("script.modify", {"query": "不要说卡粉"})
    assert run.output["diff"] == [{"kind": "pain_point", "before": PARTS[1], "after": "换季脸上是不是干得发紧？"}]


def test_a_part_is_dropped_by_its_number() -> None:
    run = changed("script.modify", {"query": "删掉第二段"})
    assert run.output["diff"] == [{"kind": "pain_point", "before": PARTS[1], "after": None}]
    assert texts(run) == [PARTS[0], *PARTS[2:]]


def test_one_part_in_other_words_leaves_the_others_alone() -> None:
    run = changed("script.modify", {"query": "第二段换个说法"})
    (one,) = run.output["diff"]
    assert one["before"] == PARTS[1] and one["after"] not in (None, PARTS[1])
    assert run.output["quality"]["passed"]


def test_a_shorter_part_is_shorter_and_the_rest_is_kept() -> None:
    run = changed("script.modify", {"query": "第五段短一点"})
    (one,) = run.output["diff"]
    assert one["before"] == PARTS[4] and len(one["after"]) < len(PARTS[4])


def test_a_longer_script_keeps_every_sentence_that_it_had() -> None:
    run = changed("script.modify", {"query": "长一点"})
    assert all(sentence in run.output["script"] for sentence in re.findall(r"[^。？\n]+[。？]", SERUM))
    assert run.output["seconds"] > 1.2 * 38


def test_another_tone_keeps_the_parts_and_the_facts() -> None:
    run = changed("script.modify", {"query": "语气专业一点"})
    assert run.output["tone"] == "专业"
    assert run.output["parts"][0]["kind"] == "opening"
    assert "水润精华" in run.output["script"]
    assert run.output["quality"]["passed"]


def test_a_change_that_no_rule_knows_leaves_the_script_and_says_so() -> None:
    run = changed("script.modify", {"query": "结构再高级一些，像说书那样"})
    assert run.output["script"] == SERUM
    assert any("no rule knows" in reason for reason in run.ctx.degraded)


def test_a_model_may_change_one_part_only_where_one_is_meant() -> None:
    # Given a model that writes the whole script anew although the second part was meant
    answer = "\n".join(
        f"【{label}】{word}，聊聊水润精华。" for label, word in zip("开痛产优互行", "来听看讲问拍", strict=True)
    )
    ctx = FakeContext(models=FakeModels(answers=[answer], languages=("zh",)))
    run = changed("script.modify", {"query": "第二段换个说法"}, ctx)
    # Then the other parts are put back
    assert texts(run) == [PARTS[0], "听，聊聊水润精华。", *PARTS[2:]]
    assert run.output["writer"] == "model"
    # And the model was told what is there and what is to change
    prompt = ctx.models.calls[0][0][-1]["content"]
    assert PARTS[2] in prompt and "第二段换个说法" in prompt


def test_without_a_script_there_is_nothing_to_change() -> None:
    with pytest.raises(Final) as failed:
        Driven("script.modify", {"query": "短一点"})
    assert failed.value.code == "no_script"


# -- shorten, adapt, continue ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [15, 20, 25, 30])
def test_a_shortened_script_has_the_length_and_keeps_what_sells(seconds: int) -> None:
    run = changed("script.shorten", {"seconds": seconds})
    assert run.output["seconds"] == pytest.approx(seconds, rel=0.15)
    assert "129元" in run.output["script"] and "水润精华" in run.output["script"]
    assert run.output["quality"]["passed"]


def test_what_is_short_enough_stays_as_it_is() -> None:
    assert changed("script.shorten", {"seconds": 120}).output["diff"] == []


@pytest.mark.parametrize(
    ("platform", "word"), [("快手", "老铁们"), ("小红书", "购物袋"), ("淘宝直播", "宝贝口袋"), ("抖音", "小黄车")]
)
def test_a_script_is_adapted_to_its_platform(platform: str, word: str) -> None:
    script = SERUM.replace("要的朋友点下方链接", "老铁们点左下角小黄车，别忘了今天在快手")
    run = Driven("script.adapt", {"platform": platform, "script": script})
    assert word in run.output["script"]
    assert platform == "快手" or "快手" not in run.output["script"]
    assert run.output["slots"]["platform"] == platform


def test_every_platforms_own_words_pass_the_rules() -> None:
    for language, platforms in load("platforms").items():
        for one in platforms:
            slots = {"category": "general", "category_label": "x", "platform": one["names"][0]}
            found = check_words(one["call"], brief_of("", {"slots": slots}, language))
            assert found == [], (one["names"], found)


def test_a_continuation_says_nothing_twice() -> None:
    first = Driven("script", {"query": "帮我写一段618美妆直播开场话术，活泼一点", "influencer_name": "小雅"}).output
    run = Driven("script.continue", {"script": first["script"]}, FakeContext(run_id="another"))
    again = set(re.findall(r"[^。！？\n]+", run.output["script"])) & set(re.findall(r"[^。！？\n]+", first["script"]))
    assert len(again) <= 1
    assert run.output["quality"]["passed"]


# -- batch ---------------------------------------------------------------------------------------------------------


def test_a_batch_writes_for_each_and_a_bad_item_fails_no_other() -> None:
    # Given products by name and as an object, and an id that nobody has
    wrong = str(uuid4())
    pillow = {"name": "云朵枕", "price": 199, "category": "home"}
    run = Driven("script.batch", {"query": "每个商品写一段30秒的讲解", "products": ["水润精华", wrong, pillow]})
    # Then the others have their scripts, each about its own product
    items = run.output["items"]
    assert (run.output["written"], run.output["failed"]) == (2, 1)
    assert "水润精华" in items[0]["script"] and "云朵枕" not in items[0]["script"]
    assert "云朵枕" in items[2]["script"] and "199元" in items[2]["script"]
    assert all(one["seconds"] == pytest.approx(30, rel=0.2) for one in (items[0], items[2]))
    # And the bad one tells why
    assert items[1] == {"index": 1, "product": wrong, "error": items[1]["error"]}
    assert items[1]["error"]["code"] == "unknown_product"
    told = [data for type, data in run.ctx.events if type == "item_done"]
    assert [one["index"] for one in told] == [0, 1, 2]
    assert "script" in told[0] and told[1]["error"] == items[1]["error"]
    told_why = f"1 of 3 products have no script: 1 unknown_product (there is no product of the id {wrong})"
    assert told_why in run.ctx.degraded


def test_the_failed_items_of_a_batch_are_counted_by_reason() -> None:
    failed = [{"error": {"code": code, "message": f"{code} {no}"}} for no, code in enumerate("abbcb")]
    assert reasons(failed) == "3 b (b 1); 1 a (a 0); 1 c (c 3)"


def test_an_item_is_tried_again_before_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any) -> None:
        raise Retry("busy")

    monkeypatch.setattr("agents.script.skills.batch.written_for", busy)
    state = {"batch_items": {"items": ["x"]}}
    ledger: dict[str, str] = {}
    # Given a step that two workers died with before it failed for the first time
    for attempt in range(3, RETRIES + 3):
        with pytest.raises(Retry):
            batch_item(state, Ledgered(index=0, attempt=attempt, ledger=ledger))
    # Then it has all its retries, and after them it is given up
    last = batch_item(state, Ledgered(index=0, attempt=RETRIES + 3, ledger=ledger))
    assert last["error"] == {"code": "node_failed", "message": "busy"}
    # And a resume gives it all of them again
    with pytest.raises(Retry):
        batch_item(state, Ledgered(index=0, attempt=RETRIES + 4, resumes=1, ledger=ledger))


class Late(FakeContext):
    """A step that stands short before its deadline."""

    def seconds_left(self) -> float:
        return 15.0


def test_an_item_short_before_its_deadline_is_given_up_and_not_lost() -> None:
    # Given items that have 15 seconds left, then each is an error that names the product, and nothing was written
    run = Driven("script.batch", {"query": "每个商品写一段讲解", "products": ["水润精华", "云朵枕"]}, Late())
    assert [(one["product"], one["error"]["code"]) for one in run.output["items"]] == [
        ("水润精华", "out_of_time"),
        ("云朵枕", "out_of_time"),
    ]


def categories(query: str, *items: Any, **wishes: Any) -> list[tuple[str, str]]:
    """The category and its label that each product of a batch is written in."""
    state = {
        "input": {},
        "load_context": {"query": query, "wishes": wishes},
        "recognize_intent": understand(query, "zh", wishes),
        "fetch_profile": {},
        "batch_items": {"items": list(items)},
    }
    slots = [state_for(one, state)["recognize_intent"]["slots"] for one in items]
    return [(one["category"], one["category_label"]) for one in slots]


def test_each_product_of_a_batch_has_its_own_category() -> None:
    # Given a request that names a product of beauty first
    assert categories("给水润精华和云朵枕各写一段", "水润精华", "云朵枕") == [("beauty", "美妆"), ("home", "家居")]
    # Then one that nobody knows is not of beauty either
    assert categories("给水润精华和拓印板各写一段", "水润精华", "拓印板")[1] == ("general", "拓印板")
    assert categories("给水润精华和拓印板各写一段", "水润精华", {"name": "拓印板"})[1][0] == "general"
    # But what the request says of all of them, or the session wished, counts where the name says nothing
    assert categories("给美妆新品水润精华和拓印板各写一段", "水润精华", "拓印板")[1] == ("beauty", "美妆")
    assert categories("给水润精华和拓印板各写一段", "水润精华", "拓印板", category="数码")[1][0] == "digital"


# -- what a session said long ago ------------------------------------------------------------------------------------


def bans_in(query: str, *bans: str, **slots: Any) -> tuple[str, ...]:
    """What the brief of a request forbids, where the session's older turns forbade these words."""
    run = Driven("script", {"query": query, **slots})
    outputs = {name: run.outputs[name] for name in ("recognize_intent", "clarify", "fetch_profile", "fetch_product")}
    return brief_from({"load_context": {**run.outputs["load_context"], "bans": list(bans)}, **outputs}).must_not_say


def test_what_older_turns_forbade_is_forbidden_in_a_new_script() -> None:
    assert bans_in("写一段面霜的讲解，别说便宜", "美白", "便宜") == ("便宜", "美白")
    # But not what is to be said now, and a change of an older script touches nothing else
    assert bans_in("写一段面霜的讲解", "美白", must_say=["美白成分看得见"]) == ()
    run = changed("script.modify", {"query": "一定要提到包邮"})
    state = {**run.outputs, "load_context": {**run.outputs["load_context"], "bans": ["美白"]}}
    assert brief_from(state).must_not_say == ()


def test_a_script_that_says_what_older_turns_forbade_has_a_finding() -> None:
    run = Driven("script", {"query": "写一段面霜的讲解"})
    state = {**run.outputs, "load_context": {**run.outputs["load_context"], "bans": ["熬夜脸"]}}
    for script, found in (("大家好，熬夜脸来看看。", ["熬夜脸"]), ("大家好，来看看。", [])):
        assert [one["text"] for one in check_words(script, brief_from(state)) if one["text"] == "熬夜脸"] == found


# -- just talking ----------------------------------------------------------------------------------------------------


def test_a_batch_is_understood_from_a_sentence() -> None:
    run = Driven("script", {"query": "给水润精华和云朵枕各写一段30秒的话术"})
    assert [one["product"] for one in run.output["items"]] == ["晨露水润精华", "云朵枕"]
    assert run.output["script"] is None


def test_a_question_gets_an_answer_and_no_script() -> None:
    run = Driven("script", {"query": "怎么留人"})
    assert run.output["intent"] == "ask" and "打字" in run.output["answer"]
    assert run.output["script"] is None and "write" not in run.outputs


def test_may_i_say_this_is_answered_by_the_rules() -> None:
    run = Driven("script", {"query": "我能不能说全网最低价？"})
    assert run.outputs["answer"]["source"] == "quality"
    assert "全网最低价" in run.output["answer"] and run.ctx.degraded == []


def test_small_talk_is_answered_by_a_model_where_one_is_able() -> None:
    ctx = FakeContext(models=FakeModels(answers=["在的，写什么？"], languages=("zh",)))
    assert Driven("script", {"query": "你好"}, ctx).output["answer"] == "在的，写什么？"


def test_a_question_of_ours_pauses_and_its_answer_reaches_the_product() -> None:
    # Given a request about some product
    run = Driven("script", {"query": "介绍一下这款产品"})
    assert run.paused is not None and run.paused.kind == "question"
    # When it is answered, then the product's facts stand in the script
    run.answer({"text": "水润精华"})
    assert run.output["sources"]["product"] == {"name": "晨露水润精华", "known": True}
    assert "129元" in run.output["script"]


def test_a_run_that_is_told_never_mind_writes_nothing() -> None:
    run = Driven("script", {"query": "介绍一下这款产品"})
    run.answer("算了")
    assert run.output["script"] is None and run.output["message"]
    assert "write" not in run.outputs


def test_the_requests_fields_reach_the_script() -> None:
    given = {
        "query": "写一段单品介绍",
        "product": {"name": "云朵枕", "category": "home"},
        "must_say": ["支持七天无理由"],
    }
    assert "支持七天无理由" in Driven("script", given).output["script"]


def test_a_part_that_is_not_there_changes_no_other() -> None:
    run = changed("script.modify", {"query": "第九段短一点"})
    assert run.output["diff"] == [] and any("as it was" in reason for reason in run.ctx.degraded)


def test_an_english_script_is_shortened_too() -> None:
    pitch = Driven("script", {"query": "Write a lively pitch for TrailBuds", "influencer_name": "Emma"}).output
    run = Driven("script.shorten", {"seconds": 25, "script": pitch["script"]})
    assert run.output["seconds"] == pytest.approx(25, rel=0.15)
    assert "TrailBuds" in run.output["script"] and "49 dollars" in run.output["script"]


def test_a_request_in_english_does_not_translate_a_chinese_script() -> None:
    run = changed("script.modify", {"query": "remove the second part"})
    assert run.output["language"] == "zh"
    assert run.output["diff"] == [{"kind": "pain_point", "before": PARTS[1], "after": None}]
