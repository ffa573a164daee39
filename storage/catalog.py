"""The creators and products of a tenant: made, found, listed, changed and archived, in the same way for both.

    made = catalog.create(tenant_id, PRODUCTS, {"name": "云朵枕", "price": Decimal("199")})
    catalog.named(tenant_id, PRODUCTS, "给云朵枕写一段话术")    # rows whose name or alias stands in the text

A row in public is one flat JSON object with the table's columns, without the tenant and what is kept for comparing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2.errors
from sqlalchemy import ColumnElement, Select, exists, func, literal, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from errors import AlreadyExists, FieldError, InvalidInput, NotFound
from settings import settings
from storage import audit, postgres
from storage.audit import EntryMaker
from storage.reads.cursors import PAGE_BYTES, cut, decode, encode
from storage.studio_tables import CreatorProfile, ProductProfile
from storage.tables import uuid7

Json = Any
Table = type[CreatorProfile] | type[ProductProfile]

HIDDEN = ("tenant_id", "name_key", "alias_keys", "archived_at")
UNTOLD = ("id", "created_at", "updated_at")  # in an entry of the audit, which says them itself
MOST_CANDIDATES = 50
SHORTEST_NAME = 2  # a name of one character stands in every other sentence


@dataclass(frozen=True)
class Kind:
    """One of the two tables. code: the column with the client's own key; word: how messages call a row."""

    table: Table
    word: str
    code: str


CREATORS = Kind(CreatorProfile, "creator", "external_id")
PRODUCTS = Kind(ProductProfile, "product", "sku")

# the constraint that refused a row -> the field, and what is wrong with it
_TAKEN = {
    "creator_profiles_by_name": ("name", "is the name of another creator"),
    "creator_profiles_by_external_id": ("external_id", "belongs to another creator"),
    "product_profiles_by_sku": ("sku", "belongs to another product"),
    "product_profiles_by_name": ("name", "is the name of another product without a SKU: give a sku"),
}
_WRONG = {"product_profiles_prices_check": ("original_price", "is below the price")}


def key(name: str) -> str:
    """What names are compared by: width and case folded, one space where there are several."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def create(
    tenant_id: UUID, kind: Kind, values: Mapping[str, Json], record: EntryMaker | None = None
) -> dict[str, Json]:
    """Make a row. AlreadyExists for a name or code that is taken, InvalidInput for prices that contradict.

    record: makes the entry of the audit that is written with it.
    """
    row = kind.table(id=uuid7(), tenant_id=tenant_id, **stored(values))
    with _told_by_field(), postgres.session(tenant_id) as db:
        db.add(row)
        db.flush()
        db.refresh(row)
        made = public(row)
        if record is not None:
            audit.write(db, record(f"{kind.word}:{row.id}", after=_changes({}, made)[1]))
        return made


def get(tenant_id: UUID, kind: Kind, row_id: UUID) -> dict[str, Json]:
    """The row of this id. NotFound where this tenant has none, or it is archived."""
    with postgres.session(tenant_id) as db:
        row = db.scalar(_live(tenant_id, kind).where(kind.table.id == row_id))
    if row is None:
        raise NotFound(f"There is no {kind.word} of this id.")
    return public(row)


def change(
    tenant_id: UUID, kind: Kind, row_id: UUID, values: Mapping[str, Json], record: EntryMaker | None = None
) -> dict[str, Json]:
    """Set these columns. Raises NotFound, AlreadyExists, InvalidInput. record: as for `create`, of what changed."""
    if not values:
        return get(tenant_id, kind, row_id)
    with _told_by_field(), postgres.session(tenant_id) as db:
        row = _held(db, tenant_id, kind, row_id)
        before = public(row)
        for name, value in {**stored(values), "updated_at": func.now()}.items():
            setattr(row, name, value)
        db.flush()
        db.refresh(row)
        now = public(row)
        was, became = _changes(before, now)
        if record is not None and became:
            audit.write(db, record(f"{kind.word}:{row_id}", before=was, after=became))
    return now


def archive(tenant_id: UUID, kind: Kind, row_id: UUID, record: EntryMaker | None = None) -> None:
    """Take the row out of use; runs that read it keep what they read. NotFound where there is none."""
    with postgres.session(tenant_id) as db:
        row = _held(db, tenant_id, kind, row_id)
        row.archived_at = row.updated_at = func.now()
        if record is not None:
            db.flush()
            audit.write(db, record(f"{kind.word}:{row_id}"))


def page(
    tenant_id: UUID,
    kind: Kind,
    *,
    q: str | None = None,
    category: str | None = None,
    language: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Json]:
    """{"items": [rows, newest first], "next_cursor": str|None}. q: part of a name, an alias, a brand or a code."""
    asked = _live(tenant_id, kind)
    if q is not None and (searched := key(q)):
        asked = asked.where(or_(*(func.strpos(one, searched) > 0 for one in _searched(kind))))
    if category is not None:
        asked = asked.where(_of_category(kind, category))
    if language is not None:
        asked = asked.where(kind.table.language == language)
    if (place := decode(cursor, UUID)) is not None:
        asked = asked.where(kind.table.id < place[0])
    with postgres.session(tenant_id) as db:
        rows = [public(row) for row in db.scalars(asked.order_by(kind.table.id.desc()).limit(limit + 1))]
    kept, more = cut(rows, limit, (len(str(row)) for row in rows), PAGE_BYTES)
    return {"items": kept, "next_cursor": encode(kept[-1]["id"]) if more else None}


def named(tenant_id: UUID, kind: Kind, text: str, wish: str = "") -> list[dict[str, Json]]:
    """Rows that a text may mean, at most MOST_CANDIDATES: those whose name or alias stands in it, the longest name
    first, then those whose name holds the `wish`. Called once by each of the two nodes that fetch, for every script;
    it reads the tenant's names, 100,000 of them in a tenth of a second.
    """
    told, wished = literal(key(text)), key(wish)
    table = kind.table
    means = [func.strpos(told, table.name_key) > 0]
    if table is ProductProfile:
        alias = func.unnest(ProductProfile.alias_keys).column_valued("alias")
        means.append(exists().where(func.strpos(told, alias) > 0, func.length(alias) >= SHORTEST_NAME))
    said = or_(*means)
    may_mean = or_(said, func.strpos(table.name_key, wished) > 0) if len(wished) >= SHORTEST_NAME else said
    asked = _live(tenant_id, kind).where(func.length(table.name_key) >= SHORTEST_NAME, may_mean)
    order = (said.desc(), func.length(table.name_key).desc(), table.id)
    with postgres.session(tenant_id) as db:
        return [public(row) for row in db.scalars(asked.order_by(*order).limit(MOST_CANDIDATES))]


def has_any(tenant_id: UUID, kind: Kind) -> bool:
    """Whether the tenant has creators, or products, of its own."""
    with postgres.session(tenant_id) as db:
        return db.scalar(select(_live(tenant_id, kind).exists())) is True


def there() -> bool:
    """Whether this process knows a database: without one (evals, a node tried by hand) there are no tenant's rows."""
    return bool(settings().database_app_url)


def stored(values: Mapping[str, Json]) -> dict[str, Json]:
    """The columns for these values: with what names are compared by."""
    columns = dict(values)
    if "name" in values:
        columns["name_key"] = key(values["name"])
    if "aliases" in values:
        columns["alias_keys"] = [key(alias) for alias in values["aliases"]]
    return columns


def public(row: CreatorProfile | ProductProfile) -> dict[str, Json]:
    """The row as clients and nodes see it."""
    names = [column.name for column in row.__table__.columns if column.name not in HIDDEN]
    return {name: _plain(getattr(row, name)) for name in names}


def _plain(value: Json) -> Json:
    """Prices as JSON numbers, without a fraction where there is none."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _live(tenant_id: UUID, kind: Kind) -> Select[Any]:
    return select(kind.table).where(kind.table.tenant_id == tenant_id, kind.table.archived_at.is_(None))


def _held(db: Session, tenant_id: UUID, kind: Kind, row_id: UUID) -> Any:
    """The row, locked until the end of the transaction. NotFound where there is none."""
    row = db.scalar(_live(tenant_id, kind).where(kind.table.id == row_id).with_for_update())
    if row is None:
        raise NotFound(f"There is no {kind.word} of this id.")
    return row


def _changes(before: Mapping[str, Json], now: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """What an entry of the audit tells: the fields that were, and became, something else."""
    changed = [name for name, value in now.items() if name not in UNTOLD and before.get(name) != value]
    fields = [name for name in changed if before.get(name) or now[name]]  # empty before and after is no change
    return {name: before.get(name) for name in fields}, {name: now[name] for name in fields}


def _searched(kind: Kind) -> Sequence[ColumnElement[str]]:
    """Texts in which a search looks, folded as far as SQL can."""
    if kind.table is ProductProfile:
        table = ProductProfile
        return (
            table.name_key.expression,
            func.array_to_string(table.alias_keys, "\n"),
            func.lower(func.coalesce(table.brand, "")),
            func.lower(func.coalesce(table.sku, "")),
        )
    return CreatorProfile.name_key.expression, func.lower(func.coalesce(CreatorProfile.external_id, ""))


def _of_category(kind: Kind, category: str) -> ColumnElement[bool]:
    if kind.table is ProductProfile:
        return ProductProfile.category == category
    return CreatorProfile.categories.any(category)  # type: ignore[arg-type]


@contextmanager
def _told_by_field() -> Iterator[None]:
    """Say which field it was that the database refused."""
    try:
        yield
    except IntegrityError as refused:
        found = refusal(refused)
        if found is None:
            raise
        raise found from None


def refusal(refused: IntegrityError) -> AlreadyExists | InvalidInput | None:
    """The client's error for a refused row, or None where it is no fault of the client's."""
    orig = refused.orig
    name = (orig.diag.constraint_name if isinstance(orig, psycopg2.errors.IntegrityError) else None) or ""
    kinds: tuple[tuple[Mapping[str, tuple[str, str]], type[AlreadyExists] | type[InvalidInput]], ...] = (
        (_TAKEN, AlreadyExists),
        (_WRONG, InvalidInput),
    )
    for told, error in kinds:
        if name in told:
            field, message = told[name]
            return error(f"{field} {message}", errors=[FieldError(field=field, message=message)])
    return None
