"""Reads a CSV file of creators or products into records, and says of each line what is wrong with it.

The header names the fields, in English or Chinese (`price`, 价格); `extra.保质期` is a fact of its own name. A cell of
several values has them between ; ； or |. An empty cell says nothing: what is there stays. The file is UTF-8 (with or
without BOM), UTF-16 with BOM, or GB18030, as Excel in Chinese saves it; its cells stand between commas or tabs.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError

from app.schemas.studio import NewCreator, NewProduct
from errors import FieldError, InvalidInput
from storage.catalog_import import LineError, Record

MAX_LINES = 5000
BREATH_LINES = 200
EXTRA = "extra."
SEVERAL = re.compile(r"[;；|｜]")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
PRICES = ("price", "original_price")

CHINESE = {
    NewCreator: {
        "name": ("名称", "达人", "达人名称", "达人昵称", "主播", "昵称"),
        "external_id": ("达人编号", "编号", "外部编号", "达人id"),
        "language": ("语言",),
        "categories": ("品类", "类目", "带货品类"),
        "style": ("风格", "话术风格", "达人风格"),
        "default_tone": ("语气", "默认语气"),
        "persona": ("人设", "人设备注"),
        "catch_phrases": ("口头禅", "金句"),
        "banned": ("禁用词", "禁用表达"),
        "brand_bans": ("品牌禁用词", "竞品禁提"),
        "policy_tags": ("品牌策略", "品牌策略标签", "策略标签"),
    },
    NewProduct: {
        "name": ("名称", "商品", "商品名", "商品名称", "品名"),
        "sku": ("商品编码", "商品编号", "货号"),
        "aliases": ("别名", "商品别名", "简称"),
        "brand": ("品牌",),
        "category": ("品类", "类目", "分类"),
        "language": ("语言",),
        "price": ("价格", "售价", "直播价", "到手价"),
        "original_price": ("原价", "划线价"),
        "currency": ("货币", "币种"),
        "offer": ("优惠", "赠品", "活动", "福利"),
        "stock_note": ("库存", "库存说明"),
        "specification": ("规格", "净含量"),
        "selling_points": ("卖点", "商品卖点"),
        "ingredients": ("成分", "配料", "材质", "面料"),
        "origin": ("产地",),
        "certifications": ("资质", "认证", "证书"),
        "audience": ("适用人群", "人群"),
        "compliance_tags": ("合规标签",),
        "brand_bans": ("禁用词", "品牌禁用词"),
    },
}


def read(raw: bytes, model: type[NewCreator] | type[NewProduct]) -> tuple[list[Record], list[LineError]]:
    """The good records, and what is wrong with the other lines. Raises InvalidInput for a file that cannot be read."""
    rows = _rows(_text(raw))
    _, header = next(rows, (1, []))
    if isinstance(header, str):
        raise _unreadable("header", header)
    columns = _columns(header, model)
    records: list[Record] = []
    errors: list[LineError] = []
    for count, (line, cells) in enumerate(rows):
        if count == MAX_LINES:
            raise _unreadable("body", f"has more than {MAX_LINES} lines: import it in parts")
        if count % BREATH_LINES == 0:
            time.sleep(0)  # a web process serves others meanwhile
        found = _record(line, cells, columns, model)
        if isinstance(found, Record):
            records.append(found)
        else:
            errors += found
    return records, errors


def _text(raw: bytes) -> str:
    """The file as text, in the first encoding that fits."""
    utf_16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf_16 else ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text
    raise _unreadable("body", "is no text in UTF-8 or GB18030")


def _rows(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row that is not empty, with the line on which it begins; for one that cannot be read, why."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in first else ",", strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"cannot be read: {error}"
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


def _columns(header: Sequence[str], model: type[BaseModel]) -> list[str]:
    """The field of each column. Raises InvalidInput for a column that is unknown, there twice, or missing."""
    names = {name: name for name in model.model_fields if name != "extra"}
    names |= {said: name for name, words in CHINESE[model].items() for said in words}
    columns: list[str] = []
    for cell in header:
        said = unicodedata.normalize("NFKC", cell).strip()
        field = said if said.startswith(EXTRA) and said != EXTRA else names.get(said.lower().replace(" ", "_"))
        if field is None:
            near = difflib.get_close_matches(said.lower(), names, 1)
            raise _unreadable(said[:100] or "header", "is no column" + (f": did you mean {near[0]}?" if near else ""))
        if field in columns:
            raise _unreadable(field, "has two columns")
        columns.append(field)
    if "name" not in columns:
        raise _unreadable("name", "is missing: the first line must name the columns, and one must be name (名称)")
    return columns


def _record(
    line: int, cells: Sequence[str] | str, columns: Sequence[str], model: type[BaseModel]
) -> Record | list[LineError]:
    if isinstance(cells, str):
        return [LineError(line=line, field="line", message=cells)]
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        return [LineError(line=line, field="line", message=f"has {len(cells)} cells, the header {len(columns)}")]
    said = {field: cell.strip() for field, cell in zip(columns, cells, strict=False) if cell.strip()}
    try:
        values = model.model_validate(_values(said, model)).model_dump(exclude_unset=True)
    except ValidationError as wrong:
        return [
            LineError(line=line, field=_field(one["loc"], one["msg"]), message=one["msg"])
            for one in wrong.errors(include_url=False)
        ]
    return Record(line, values)


def _values(said: Mapping[str, str], model: type[BaseModel]) -> dict[str, Any]:
    """The cells as the fields want them."""
    values: dict[str, Any] = {}
    for field, cell in said.items():
        if field.startswith(EXTRA):
            values.setdefault("extra", {})[field.removeprefix(EXTRA)] = cell
        elif get_origin(model.model_fields[field].annotation) is list:
            values[field] = [part.strip() for part in SEVERAL.split(cell) if part.strip()]
        elif field in PRICES:
            values[field] = THOUSANDS.sub("", unicodedata.normalize("NFKC", cell))
        else:
            values[field] = cell
    return values


def _field(location: tuple[int | str, ...], message: str) -> str:
    """The column that an error belongs to; the one check of two columns names itself in its message."""
    return str(location[0]) if location else "original_price" if "original_price" in message else "line"


def _unreadable(field: str, message: str) -> InvalidInput:
    """The refusal of a whole file."""
    return InvalidInput(f"{field} {message}", errors=[FieldError(field=field, message=message)])
