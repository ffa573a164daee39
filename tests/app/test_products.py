"""Products over HTTP: facts with their types, and files of up to 5,000 lines."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from app.csv_records import MAX_LINES
from app.schemas.studio import ImportReport, Product, ProductPage
from tests.app.rows import Client

URL = "/api/v1/products"
NUTS = {
    "name": "山野每日坚果",
    "sku": "FD-1",
    "aliases": ["每日坚果"],
    "brand": "山野",
    "category": "food",
    "language": "zh",
    "price": 69.9,
    "original_price": 89,
    "currency": "元",
    "offer": "送密封罐一个",
    "stock_note": "以页面为准",
    "specification": "25克×30袋",
    "selling_points": ["独立小袋", "不额外加糖"],
    "ingredients": ["巴旦木仁", "核桃仁"],
    "origin": "安徽合肥",
    "certifications": ["SC10634012345678"],
    "audience": "上班族",
    "compliance_tags": ["含坚果过敏原"],
    "brand_bans": ["低价"],
    "extra": {"保质期": "210天", "packs": 30},
}


def send(client: Client, method: str, path: str, body: Any) -> Any:
    return client.raw(method, path, data=json.dumps(body), content_type="application/json")


def load(client: Client, sheet: str | bytes, query: str = "", content_type: str = "text/csv") -> Any:
    raw = sheet if isinstance(sheet, bytes) else sheet.encode()
    return client.raw("POST", f"{URL}/import{query}", data=raw, content_type=content_type)


def by_sku(client: Client) -> dict[str, Any]:
    return {row["sku"]: row for row in client.get(f"{URL}?limit=1000").json["items"]}


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_a_product_keeps_every_fact_as_it_was_told(client: Client) -> None:
    made = client.post(URL, NUTS)
    assert made.status_code == 201, made.json
    shown = client.get(made.headers["Location"]).json
    assert NUTS.items() <= shown.items()
    Product.model_validate(shown)
    ProductPage.model_validate(client.get(URL).json)
    # And a price may be told as text
    told = send(client, "PATCH", made.headers["Location"], {"price": "70.00"}).json
    assert told["price"] == 70


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": -1}, "price"),
        ({"price": 1.999}, "price"),
        ({"price": "cheap"}, "price"),
        ({"price": 1e300}, "price"),
        ({"original_price": 1}, "original_price"),
        ({"selling_points": "one"}, "selling_points"),
        ({"extra": {"a": "x" * 20_000}}, "extra"),
        ({"offer": "x" * 2001}, "offer"),
    ],
)
def test_a_wrong_fact_is_named(change: dict[str, Any], field: str, client: Client) -> None:
    answer = client.post(URL, {**NUTS, **change})
    assert answer.status_code == 422, answer.json
    assert field in answer.json["errors"][0]["field"] or field in answer.json["errors"][0]["message"]
    # And a change of one that is there is refused in the same way
    place = client.post(URL, NUTS).headers["Location"]
    assert send(client, "PATCH", place, change).status_code == 422
    assert NUTS.items() <= client.get(place).json.items()


def test_a_taken_sku_and_a_taken_name_without_one_are_conflicts(client: Client) -> None:
    client.post(URL, NUTS)
    taken = client.post(URL, {"name": "别的", "sku": "FD-1"})
    assert (taken.status_code, taken.json["errors"][0]["field"]) == (409, "sku")
    assert client.post(URL, {"name": "山野每日坚果"}).status_code == 201
    taken = client.post(URL, {"name": "山野每日坚果"})
    assert (taken.status_code, taken.json["errors"][0]["field"]) == (409, "name")


def test_a_product_is_found_by_alias_brand_and_sku(client: Client) -> None:
    client.post(URL, NUTS)
    client.post(URL, {"name": "TrailBuds", "category": "digital", "language": "en"})
    for query in ("q=每日坚", "q=山野", "q=fd-1", "category=food", "language=zh"):
        assert [row["sku"] for row in client.get(f"{URL}?{query}").json["items"]] == ["FD-1"], query


def test_an_archived_product_is_gone_and_may_come_again(client: Client) -> None:
    place = client.post(URL, NUTS).headers["Location"]
    assert client.raw("DELETE", place).status_code == 204
    assert client.get(place).status_code == 404
    assert client.get(URL).json["items"] == []
    assert client.post(URL, NUTS).status_code == 201


# -- files -------------------------------------------------------------------------------------------------------------

SHEET = (
    "sku,name,price,selling_points,extra.保质期\n"
    'A1,坚果,"1,069.90",小袋; 不加糖 ；六种,210天\n'
    "A2,枕头,abc,可机洗,\n"
    "\n"
    ",,59,,\n"
    'A4,"餐盘, 带勺",59,"两行\n卖点",\n'
    "A5,杯子,-1,太多,,x\n"
)


def test_good_lines_are_written_and_each_bad_one_is_told(client: Client) -> None:
    answer = load(client, SHEET)
    # Then the report counts lines as an editor shows them, and names each field
    assert answer.status_code == 200, answer.json
    ImportReport.model_validate(answer.json)
    assert {k: v for k, v in answer.json.items() if k != "errors"} == {"imported": 2, "updated": 0, "failed": 3}
    told = [(wrong["line"], wrong["field"]) for wrong in answer.json["errors"]]
    assert told == [(3, "price"), (5, "name"), (8, "line")]
    # And the good lines stand there with their facts
    rows = by_sku(client)
    assert set(rows) == {"A1", "A4"}
    assert (rows["A1"]["price"], rows["A1"]["selling_points"]) == (1069.9, ["小袋", "不加糖", "六种"])
    assert rows["A1"]["extra"] == {"保质期": "210天"}
    assert (rows["A4"]["name"], rows["A4"]["selling_points"]) == ("餐盘, 带勺", ["两行 卖点"])


def test_a_dry_run_reports_the_same_and_writes_nothing(client: Client) -> None:
    dry = load(client, SHEET, "?dry_run=true").json
    assert by_sku(client) == {}
    assert load(client, SHEET).json == dry


def test_a_file_again_changes_what_it_made_and_empty_cells_say_nothing(client: Client) -> None:
    load(client, "sku,name,price,offer\nA1,坚果,69,送罐子\n")
    answer = load(client, "sku,name,price,offer\nA1,坚果,59,\nA2,枕头,99,\n")
    assert (answer.json["imported"], answer.json["updated"]) == (1, 1)
    assert (by_sku(client)["A1"]["price"], by_sku(client)["A1"]["offer"]) == (59, "送罐子")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("between", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_excel_writes_is_read(encoding: str, between: str, end: str, client: Client) -> None:
    lines = [["商品名称", "价格", "卖点"], ["山野坚果", "６９.９", "独立小袋|不加糖"]]
    sheet = end.join(between.join(line) for line in lines).encode(encoding)
    assert load(client, sheet, content_type="application/vnd.ms-excel").json["imported"] == 1
    made = client.get(URL).json["items"][0]
    assert (made["name"], made["price"], made["selling_points"]) == ("山野坚果", 69.9, ["独立小袋", "不加糖"])


def test_text_stays_text(client: Client) -> None:
    # Given cells that a spreadsheet would take for formulas, and one that looks like a number
    load(client, "sku,name,offer\n007,=1+1,@SUM(A1)\n")
    assert by_sku(client)["007"]["name"] == "=1+1" and by_sku(client)["007"]["offer"] == "@SUM(A1)"


@pytest.mark.parametrize(
    ("sheet", "field", "message"),
    [
        (b"", "name", "missing"),
        (b"sku,price\n1,2\n", "name", "missing"),
        (b"name,pirce\na,1\n", "pirce", "did you mean price?"),
        (b"name,price,\xe4\xbb\xb7\xe6\xa0\xbc\na,1,2\n", "price", "two columns"),
        (b"name,id\na,1\n", "id", "no column"),
        (b"name\n\x00\n", "body", "no text"),
        (b"name\n\xff\xff\xff\n", "body", "no text"),
        (b'"name\n', "header", "cannot be read"),
        (b"name\n" + b"a\n" * (MAX_LINES + 1), "body", "more than 5000"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(sheet: bytes, field: str, message: str, client: Client) -> None:
    answer = load(client, sheet)
    assert answer.status_code == 422, answer.json
    assert answer.json["errors"][0]["field"] == field and message in answer.json["errors"][0]["message"]
    assert by_sku(client) == {}


def test_an_open_quotation_mark_costs_its_own_lines_only(client: Client) -> None:
    answer = load(client, 'name,offer\n坚果,ok\n枕头,"open\nmore\n').json
    assert answer["imported"] == 1 and [wrong["line"] for wrong in answer["errors"]] == [3]


def test_another_content_type_is_refused(client: Client) -> None:
    answer = load(client, "name\na\n", content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    assert "text/csv" in answer.json["detail"]


def test_five_thousand_lines_are_one_file(client: Client) -> None:
    lines = [f"S{number},商品{number},{number}.5,卖点甲；卖点乙" for number in range(MAX_LINES)]
    sheet = "sku,name,price,selling_points\n" + "\n".join(lines)
    began = time.monotonic()
    assert load(client, sheet).json == {"imported": MAX_LINES, "updated": 0, "failed": 0, "errors": []}
    assert load(client, sheet).json == {"imported": 0, "updated": MAX_LINES, "failed": 0, "errors": []}
    assert time.monotonic() - began < 60
    assert len(client.get(f"{URL}?limit=1000").json["items"]) == 1000
