"""Creators and products in the database: names that are taken, pages, names in a text, imports."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from errors import AlreadyExists, InvalidInput, NotFound
from storage import catalog, catalog_import, tenants
from storage.catalog import CREATORS, PRODUCTS, Kind, key
from storage.catalog_import import Record
from storage.tables import uuid7


def records(*rows: dict[str, Any]) -> list[Record]:
    """Records as the lines after a header."""
    return [Record(line, row) for line, row in enumerate(rows, 2)]


def names(tenant: UUID, kind: Kind) -> list[str]:
    """Names of all rows, newest first."""
    return [row["name"] for row in catalog.page(tenant, kind)["items"]]


@pytest.mark.parametrize(
    ("one", "same"), [("Emma", "EMMA"), ("小雅", " 小雅 "), ("Ｅmma　Ｌee", "emma  lee"), ("Straße", "STRASSE")]
)
def test_names_are_compared_by_what_a_person_reads(one: str, same: str, tenant: UUID) -> None:
    assert key(one) == key(same)
    # Given a creator of this name
    catalog.create(tenant, CREATORS, {"name": one})
    # Then nobody else can have it, and the error names the field
    with pytest.raises(AlreadyExists) as taken:
        catalog.create(tenant, CREATORS, {"name": same})
    assert taken.value.errors[0]["field"] == "name"


def test_an_archived_row_gives_its_name_and_code_back(tenant: UUID) -> None:
    # Given a creator who was archived
    gone = catalog.create(tenant, CREATORS, {"name": "小雅", "external_id": "7"})
    catalog.archive(tenant, CREATORS, gone["id"])
    # Then it is seen no more, and a new one may have its name
    with pytest.raises(NotFound):
        catalog.get(tenant, CREATORS, gone["id"])
    with pytest.raises(NotFound):
        catalog.archive(tenant, CREATORS, gone["id"])
    made = catalog.create(tenant, CREATORS, {"name": "小雅", "external_id": "7"})
    assert [row["id"] for row in catalog.page(tenant, CREATORS)["items"]] == [made["id"]]
    assert [row["id"] for row in catalog.named(tenant, CREATORS, "小雅来一段")] == [made["id"]]


def test_products_share_a_name_by_their_skus_only(tenant: UUID) -> None:
    catalog.create(tenant, PRODUCTS, {"name": "云朵枕", "sku": "1"})
    catalog.create(tenant, PRODUCTS, {"name": "云朵枕", "sku": "2"})
    catalog.create(tenant, PRODUCTS, {"name": "云朵枕"})
    with pytest.raises(AlreadyExists, match="give a sku"):
        catalog.create(tenant, PRODUCTS, {"name": "云朵枕"})
    with pytest.raises(AlreadyExists, match=r"^sku"):
        catalog.create(tenant, PRODUCTS, {"name": "别的", "sku": "2"})


def test_a_price_comes_back_as_the_number_that_was_given(tenant: UUID) -> None:
    made = catalog.create(
        tenant, PRODUCTS, {"name": "a", "price": Decimal("129.00"), "original_price": Decimal("159.9")}
    )
    assert (made["price"], made["original_price"]) == (129, 159.9)
    assert isinstance(made["price"], int)
    # And a price above the one before is refused, with the field's name
    with pytest.raises(InvalidInput) as wrong:
        catalog.change(tenant, PRODUCTS, made["id"], {"price": Decimal("200")})
    assert wrong.value.errors[0]["field"] == "original_price"


def test_another_tenants_rows_are_not_there(tenant: UUID) -> None:
    other = tenants.create_tenant(f"other-{uuid7()}")
    row = catalog.create(other, PRODUCTS, {"name": "云朵枕"})
    with pytest.raises(NotFound):
        catalog.get(tenant, PRODUCTS, row["id"])
    with pytest.raises(NotFound):
        catalog.change(tenant, PRODUCTS, row["id"], {"name": "mine"})
    with pytest.raises(NotFound):
        catalog.archive(tenant, PRODUCTS, row["id"])
    assert names(tenant, PRODUCTS) == []
    assert catalog.named(tenant, PRODUCTS, "云朵枕") == []
    assert names(other, PRODUCTS) == ["云朵枕"]


def test_names_and_aliases_are_found_in_a_text_the_longest_first(tenant: UUID) -> None:
    catalog.create(tenant, PRODUCTS, {"name": "精华", "sku": "1"})
    catalog.create(tenant, PRODUCTS, {"name": "晨露水润精华", "aliases": ["HydraGlow"], "sku": "2"})
    catalog.create(tenant, PRODUCTS, {"name": "防晒乳", "sku": "3"})
    catalog.create(tenant, PRODUCTS, {"name": "露", "sku": "4"})  # a name of one character stands in every other text

    def found(text: str, wish: str = "") -> list[str]:
        return [row["name"] for row in catalog.named(tenant, PRODUCTS, text, wish)]

    assert found("给晨露水润精华写一段") == ["晨露水润精华", "精华"]
    assert found("a script for ｈｙｄｒａglow") == ["晨露水润精华"]
    assert found("写一段", wish="晨露水润") == ["晨露水润精华"]
    assert found("写一段") == []
    assert found("100% _ ' \\ 防晒乳") == ["防晒乳"]


def test_many_names_that_hold_the_wish_do_not_push_out_the_one_that_was_said(tenant: UUID) -> None:
    made = [{"name": f"云朵枕升级款{number}", "sku": str(number)} for number in range(2 * catalog.MOST_CANDIDATES)]
    catalog_import.write(tenant, PRODUCTS, records(*made, {"name": "云朵枕"}))
    found = catalog.named(tenant, PRODUCTS, "给云朵枕写一段", "云朵枕")
    assert len(found) == catalog.MOST_CANDIDATES
    assert found[0]["name"] == "云朵枕"


# -- imports -----------------------------------------------------------------------------------------------------------


def test_a_record_finds_its_row_by_code_then_by_name(tenant: UUID) -> None:
    # Given one product with a SKU and one without
    by_code = catalog.create(tenant, PRODUCTS, {"name": "防晒乳", "sku": "S1", "price": Decimal(89), "brand": "轻雾"})
    by_name = catalog.create(tenant, PRODUCTS, {"name": "云朵枕", "extra": {"保质期": "1年"}})
    # When a file names the first by its SKU, and the second by its name with a SKU of its own
    report = catalog_import.write(
        tenant,
        PRODUCTS,
        records(
            {"name": "轻雾防晒乳", "sku": "S1", "price": Decimal(79)},
            {"name": "云朵枕", "sku": "S2", "extra": {"产地": "湖州"}},
            {"name": "餐盘"},
        ),
    )
    # Then both are changed where the file speaks, and one is new
    assert (report["imported"], report["updated"], report["errors"]) == (1, 2, [])
    first = catalog.get(tenant, PRODUCTS, by_code["id"])
    assert (first["name"], first["price"], first["brand"]) == ("轻雾防晒乳", 79, "轻雾")
    assert first["updated_at"] > by_code["updated_at"] and first["created_at"] == by_code["created_at"]
    second = catalog.get(tenant, PRODUCTS, by_name["id"])
    assert (second["sku"], second["extra"]) == ("S2", {"保质期": "1年", "产地": "湖州"})
    assert set(names(tenant, PRODUCTS)) == {"轻雾防晒乳", "云朵枕", "餐盘"}


def test_what_contradicts_is_told_by_line_and_the_others_are_written(tenant: UUID) -> None:
    catalog.create(tenant, PRODUCTS, {"name": "枕头", "sku": "1"})
    catalog.create(tenant, PRODUCTS, {"name": "枕头", "sku": "2"})
    catalog.create(tenant, PRODUCTS, {"name": "餐盘", "sku": "3", "original_price": Decimal(50)})
    report = catalog_import.write(
        tenant,
        PRODUCTS,
        records(
            {"name": "枕头"},
            {"name": "餐盘", "sku": "3", "price": Decimal(60)},
            {"name": "杯子", "sku": "4"},
            {"name": "杯子", "sku": "4"},
            {"name": "新的"},
            {"name": "新的"},
        ),
    )
    assert report["imported"] == 2 and report["failed"] == 4
    assert [(wrong["line"], wrong["field"]) for wrong in report["errors"]] == [
        (2, "name"),
        (3, "original_price"),
        (5, "sku"),
        (7, "name"),
    ]
    assert sorted(names(tenant, PRODUCTS)) == sorted(["枕头", "枕头", "餐盘", "杯子", "新的"])


def test_a_creators_name_is_not_taken_by_an_import(tenant: UUID) -> None:
    catalog.create(tenant, CREATORS, {"name": "小雅", "external_id": "1"})
    catalog.create(tenant, CREATORS, {"name": "Emma", "external_id": "2"})
    report = catalog_import.write(
        tenant,
        CREATORS,
        records(
            {"name": "EMMA", "external_id": "1"}, {"name": "emma", "external_id": "9"}, {"name": "emma", "style": "x"}
        ),
    )
    assert [(wrong["line"], wrong["field"]) for wrong in report["errors"]] == [(2, "name"), (3, "name")]
    assert report["updated"] == 1
    assert sorted(names(tenant, CREATORS)) == ["emma", "小雅"]


def test_a_dry_run_tells_the_same_and_writes_nothing(tenant: UUID) -> None:
    rows = records({"name": "云朵枕"}, {"name": "云朵枕"})
    dry = catalog_import.write(tenant, PRODUCTS, rows, dry_run=True)
    assert names(tenant, PRODUCTS) == []
    assert catalog_import.write(tenant, PRODUCTS, rows) == dry
    assert names(tenant, PRODUCTS) == ["云朵枕"]


def test_a_row_that_somebody_makes_meanwhile_stops_the_whole_file(
    tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a creator whom the import did not see when it looked
    catalog.create(tenant, CREATORS, {"name": "Emma"})
    monkeypatch.setattr(catalog_import, "_there", lambda *_: [])
    # Then nothing of the file is written, and the error says why
    with pytest.raises(AlreadyExists, match="name"):
        catalog_import.write(tenant, CREATORS, records({"name": "小雅"}, {"name": "emma"}))
    assert names(tenant, CREATORS) == ["Emma"]


def test_two_imports_of_the_same_file_at_once_make_each_row_once(tenant: UUID) -> None:
    rows = records(*({"name": f"商品{number}", "sku": str(number)} for number in range(500)))
    reports: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: reports.append(dict(catalog_import.write(tenant, PRODUCTS, rows))))
        for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report["imported"] for report in reports) == [0, 500]
    assert len(catalog.page(tenant, PRODUCTS, limit=1000)["items"]) == 500
