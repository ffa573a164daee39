"""What the fetching nodes find: the tenant's rows first, then the request's own object, then the built-in set."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agents.script.fetch_product import fetch_product
from agents.script.fetch_profile import fetch_profile
from agents.script.load_context import load_context
from node import Final
from storage import catalog, sessions
from storage.catalog import CREATORS, PRODUCTS
from tests.agents.fakes import FakeContext

SERUM = {
    "name": "晨露水润精华",
    "aliases": ["水润精华"],
    "language": "zh",
    "category": "美妆",
    "brand": "晨露",
    "price": Decimal("139"),
    "original_price": Decimal("159.9"),
    "currency": "CNY",
    "selling_points": ["轻薄好推开"],
    "ingredients": ["透明质酸钠"],
    "certifications": ["国妆备案"],
    "origin": "杭州",
    "brand_bans": ["抗衰"],
    "compliance_tags": ["普通化妆品"],
    "extra": {"保质期": "3年"},
}


@pytest.fixture
def ctx(tenant: UUID) -> FakeContext:
    """A step of a fresh tenant."""
    return FakeContext(tenant_id=str(tenant))


def state(query: str, language: str = "zh", product: Any = None, **input: Any) -> dict[str, Any]:
    """What the steps before left; `influencer_name` in the input is a wish too."""
    wishes = {name: input[name] for name in ("influencer_name",) if name in input}
    slots = {"product": product, "category": "general", "category_label": "好物"}
    return {
        "input": {"query": query, **input},
        "load_context": {"query": query, "wishes": wishes},
        "recognize_intent": {"language": language, "slots": slots},
    }


# -- products ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["id", "name", "alias", "wish", "part of the name"])
def test_a_tenants_product_is_found_and_each_fact_says_where_it_came_from(how: str, ctx: FakeContext) -> None:
    # Given the tenant's own serum, of the name of a built-in one
    row = catalog.create(UUID(ctx.tenant_id), PRODUCTS, SERUM)
    asked = {
        "id": state("写一段话术", product_id=str(row["id"])),
        "name": state("给晨露水润精华写一段"),
        "alias": state("介绍一下水润精华"),
        "wish": state("写一段", product="晨露水润精华"),
        "part of the name": state("写一段", product="晨露水润"),
    }[how]
    # When it is fetched
    found = fetch_product(asked, ctx)
    # Then its facts are the tenant's, none of the built-in one's are mixed in, and each is marked
    assert found["id"] == str(row["id"]) and found["known"]
    assert (found["name"], found["price"], found["currency"]) == ("晨露水润精华", 139, "元")
    assert (found["original_price"], found["brand"], found["origin"]) == (159.9, "晨露", "杭州")
    assert (found["selling_points"], found["ingredients"]) == (["轻薄好推开"], ["透明质酸钠"])
    assert (found["certifications"], found["brand_bans"]) == (["国妆备案"], ["抗衰"])
    assert (found["category"], found["category_label"]) == ("beauty", "美妆")
    assert found["specification"] is None and found["offer"] is None and "offer" not in found["fields"]
    assert found["fields"]["price"] == "product_profiles.price"
    assert found["fields"]["extra.保质期"] == "product_profiles.extra.保质期"
    assert found["extra"] == {"保质期": "3年"}


def test_an_id_of_no_product_fails_the_step(ctx: FakeContext) -> None:
    row = catalog.create(UUID(ctx.tenant_id), PRODUCTS, SERUM)
    catalog.archive(UUID(ctx.tenant_id), PRODUCTS, row["id"])
    for wrong in (str(row["id"]), "0199aaaa-0000-7000-8000-000000000001", "no id"):
        with pytest.raises(Final) as failed:
            fetch_product(state("给晨露水润精华写一段", product_id=wrong), ctx)
        assert failed.value.code == "unknown_product"


def test_what_the_query_names_beats_what_the_session_wished(ctx: FakeContext) -> None:
    for name in ("云朵枕", "云朵枕高枕版", "山野坚果"):
        catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": name})
    assert fetch_product(state("给山野坚果写一段", product="云朵枕"), ctx)["name"] == "山野坚果"
    # And the longest name that stands there, and the wish where the query names none
    assert fetch_product(state("给云朵枕高枕版写一段"), ctx)["name"] == "云朵枕高枕版"
    assert fetch_product(state("再来一段", product="云朵枕"), ctx)["name"] == "云朵枕"


def test_a_part_of_several_names_means_none_of_them(ctx: FakeContext) -> None:
    for name in ("云朵枕高枕版", "云朵枕低枕版"):
        catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": name, "price": Decimal(99)})
    found = fetch_product(state("写一段", product="云朵枕"), ctx)
    assert (found["name"], found["known"], found["price"]) == ("云朵枕", False, None)


def test_english_names_are_whole_words(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": "Glow", "language": "en"})
    assert not fetch_product(state("a script about a glowing lamp", "en"), ctx)["known"]
    assert fetch_product(state("a script about GLOW, please", "en"), ctx)["name"] == "Glow"


def test_the_row_beats_the_requests_object_which_fills_what_it_does_not_say(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, SERUM)
    own = {"name": "晨露水润精华", "price": 99, "offer": "送小样", "selling_points": ["别的"]}
    found = fetch_product(state("写一段", product=own), ctx)
    assert (found["price"], found["offer"], found["selling_points"]) == (139, "送小样", ["轻薄好推开"])
    assert found["fields"]["offer"] == "input.product.offer"


def test_an_object_with_a_name_is_what_the_script_is_about(ctx: FakeContext) -> None:
    # Given a query that compares with a product of the tenant's
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, SERUM)
    own = {"name": "星河精华", "price": 99, "category": "古琴"}
    found = fetch_product(state("写一段星河精华，别提晨露水润精华", product=own), ctx)
    assert (found["id"], found["name"], found["price"]) == (None, "星河精华", 99)
    assert (found["category"], found["category_label"]) == ("general", "古琴")
    assert found["fields"]["price"] == "input.product.price"


def test_what_is_told_in_one_language_is_not_said_in_another(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, {**SERUM, "aliases": ["DewSerum"]})
    found = fetch_product(state("a pitch for DewSerum", "en"), ctx)
    assert (found["known"], found["price"], found["currency"]) == (True, 139, "yuan")
    assert (found["selling_points"], found["ingredients"], found["extra"]) == ([], None, {})
    assert (found["category"], found["category_label"]) == ("beauty", "beauty")
    assert found["brand_bans"] == ["抗衰"]  # a ban holds in any language


def test_a_chinese_price_has_a_unit_and_it_says_that_nobody_gave_it(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": "云朵枕", "price": Decimal(99)})
    found = fetch_product(state("介绍云朵枕"), ctx)
    assert (found["currency"], found["fields"]["currency"]) == ("元", "assumed")


def test_a_built_in_product_is_the_last_resort(ctx: FakeContext, tenant: UUID) -> None:
    found = fetch_product(state("介绍一下水润精华"), ctx)
    assert (found["id"], found["name"], found["fields"]["price"]) == (None, "晨露水润精华", "seed_set.products.price")
    # And nothing is known of what nobody told
    unknown = fetch_product(state("写一段话术", product="星河香薰"), ctx)
    assert (unknown["name"], unknown["known"], unknown["fields"]) == ("星河香薰", False, {})
    assert unknown["certifications"] is None and unknown["selling_points"] == []


def test_a_session_may_hold_the_product_that_it_is_about(ctx: FakeContext, tenant: UUID) -> None:
    # Given a session that names a product of the tenant by its id
    row = catalog.create(tenant, PRODUCTS, {"name": "云朵枕"})
    ctx.session_id = sessions.create(tenant, {"product_id": str(row["id"])})["session_id"]
    # When a request in it names none, Then it is about that one
    asked = {**state("写一段话术"), "load_context": load_context({"input": {"query": "写一段话术"}}, ctx)}
    assert fetch_product(asked, ctx)["id"] == str(row["id"])


def test_who_has_products_of_its_own_never_hears_the_price_of_an_example(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": "云朵枕"})
    found = fetch_product(state("介绍一下水润精华"), ctx)
    assert (found["known"], found["price"], found["fields"]) == (False, None, {})


def test_who_has_creators_of_its_own_is_not_given_an_example(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), CREATORS, ALAN)
    assert fetch_profile(state("写一段", influencer_name="小雅"), ctx)["known"] is False


@pytest.mark.parametrize(
    ("given", "language", "category", "label"),
    [
        ("food", "zh", "food", "食品"),
        ("坚果零食", "zh", "food", "坚果零食"),  # the tenant's own word is what is said
        ("零食", "en", "food", "food"),
        ("古琴", "zh", "general", "古琴"),
        ("古琴", "en", "general", "好物"),  # what cannot be said stays what the request made of it
        (None, "zh", "general", "好物"),
    ],
)
def test_a_category_is_the_lexicons_where_it_knows_the_word(
    given: Any, language: str, category: str, label: str, ctx: FakeContext
) -> None:
    catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": "Thing One", "category": given})
    found = fetch_product(state("about thing one", language), ctx)
    assert (found["category"], found["category_label"]) == (category, label)


# -- creators ----------------------------------------------------------------------------------------------------------

ALAN = {
    "name": "阿岚",
    "language": "zh",
    "style": "慢慢讲",
    "default_tone": "亲切",
    "persona": "做过柜姐",
    "catch_phrases": ["听我说"],
    "banned": ["白菜价"],
    "brand_bans": ["某友商"],
    "policy_tags": ["不提竞品"],
}


@pytest.mark.parametrize("how", ["id", "wish", "query"])
def test_a_tenants_creator_is_found(how: str, ctx: FakeContext) -> None:
    row = catalog.create(UUID(ctx.tenant_id), CREATORS, ALAN)
    asked = {
        "id": state("写一段", creator_id=str(row["id"]), influencer_name="小雅"),
        "wish": state("写一段", influencer_name=" 阿岚 "),
        "query": state("帮阿岚写一段开场"),
    }[how]
    found = fetch_profile(asked, ctx)
    assert (found["id"], found["name"], found["known"]) == (str(row["id"]), "阿岚", True)
    assert (found["style"], found["tone"], found["catch_phrases"]) == ("慢慢讲", "亲切", ["听我说"])
    assert (found["banned"], found["brand_bans"], found["policy_tags"]) == (["白菜价"], ["某友商"], ["不提竞品"])
    assert found["fields"]["tone"] == "creator_profiles.default_tone"


def test_the_tenants_own_creator_hides_the_built_in_one_of_the_same_name(ctx: FakeContext) -> None:
    assert fetch_profile(state("写一段", influencer_name="小雅"), ctx)["fields"]["style"] == "seed_set.creators.style"
    catalog.create(UUID(ctx.tenant_id), CREATORS, {"name": "小雅", "style": "自家的"})
    assert fetch_profile(state("写一段", influencer_name="小雅"), ctx)["style"] == "自家的"


def test_a_wished_creator_whom_nobody_described_is_not_replaced_by_one_in_the_query(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), CREATORS, ALAN)
    found = fetch_profile(state("学阿岚的风格写一段", influencer_name="路人"), ctx)
    assert (found["name"], found["known"], found["banned"], found["fields"]) == ("路人", False, [], {})


def test_a_creators_bans_hold_in_any_language_but_the_phrases_do_not(ctx: FakeContext) -> None:
    catalog.create(UUID(ctx.tenant_id), CREATORS, ALAN)
    found = fetch_profile(state("an opening", "en", influencer_name="阿岚"), ctx)
    assert (found["style"], found["tone"], found["catch_phrases"]) == (None, None, [])
    assert (found["banned"], found["brand_bans"]) == (["白菜价"], ["某友商"])


def test_an_id_of_no_creator_fails_the_step(ctx: FakeContext) -> None:
    with pytest.raises(Final) as failed:
        fetch_profile(state("写一段", creator_id="0199aaaa-0000-7000-8000-000000000001"), ctx)
    assert failed.value.code == "unknown_creator"


def test_nobody_reads_another_tenants_rows(ctx: FakeContext) -> None:
    # Given a product and a creator of somebody else's
    product = catalog.create(UUID(ctx.tenant_id), PRODUCTS, {"name": "独家香薰", "price": Decimal(9)})
    creator = catalog.create(UUID(ctx.tenant_id), CREATORS, ALAN)
    stranger = FakeContext()
    # Then neither name nor id leads there
    assert not fetch_product(state("介绍独家香薰"), stranger)["known"]
    assert not fetch_profile(state("帮阿岚写一段"), stranger)["known"]
    with pytest.raises(Final):
        fetch_product(state("写", product_id=str(product["id"])), stranger)
    with pytest.raises(Final):
        fetch_profile(state("写", creator_id=str(creator["id"])), stranger)
