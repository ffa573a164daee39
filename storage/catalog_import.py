"""Many creators or products at once: each record finds the row that it means, and all are written in one transaction.

A record finds its row by its code (`sku`, `external_id`); else by its name among the rows that have no code yet, which
then get the record's; a record without a code also finds the only row of its name. A record that finds none is a new
row. What a record does not say stays as it is.

A record that cannot be written is told by its line and does not stop the others. Another import of the same
tenant waits meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast
from uuid import UUID

from sqlalchemy import Table as SqlTable
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from storage import audit, postgres
from storage.audit import EntryMaker
from storage.catalog import PRODUCTS, Kind, key, refusal, stored
from storage.tables import uuid7

Json = Any
NEVER_SET = ("id", "tenant_id", "created_at", "updated_at", "archived_at")


@dataclass(frozen=True)
class Record:
    """What one line says: the columns it fills (`name` among them)."""

    line: int
    values: Mapping[str, Json]


class LineError(TypedDict):
    """One wrong field of one line."""

    line: int
    field: str
    message: str


class Report(TypedDict):
    """How many records became new rows, changed one, or failed; and why."""

    imported: int
    updated: int
    failed: int
    errors: list[LineError]


@dataclass
class Target:
    """A row as it is to be. line: the record that it was planned for, None until there is one."""

    values: dict[str, Json]
    new: bool
    line: int | None = None


def write(
    tenant_id: UUID,
    kind: Kind,
    records: Sequence[Record],
    *,
    dry_run: bool = False,
    only_new: bool = False,
    record: EntryMaker | None = None,
) -> Report:
    """Write the records. dry_run: only tell what would be; only_new: rows that are there stay as they are.

    record: makes the one entry of the audit, with the counts, where something was written.

    Raises AlreadyExists or InvalidInput, and nothing is written, where somebody else changed the same rows meanwhile.
    """
    with postgres.session(tenant_id) as db:
        # A second import of the same kind would not see the rows that this one is about to make.
        db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{kind.word} {tenant_id}", 0))))
        plan = Plan(kind, _there(db, tenant_id, kind, records))
        errors = [wrong for one in records if (wrong := plan.take(one))]
        targets = [one for one in plan.targets if one.line is not None and (one.new or not only_new)]
        if not dry_run:
            try:
                _store(db, tenant_id, kind, targets)
            except IntegrityError as refused:
                raise refusal(refused) or refused from None
        new = sum(one.new for one in targets)
        if record is not None and targets and not dry_run:
            audit.write(db, record(f"{kind.word}:import", after={"imported": new, "updated": len(targets) - new}))
    return Report(imported=new, updated=len(targets) - new, failed=len(errors), errors=errors)


@dataclass
class Plan:
    """Which row each record means. Records of one file that mean the same row are a mistake of the second."""

    kind: Kind
    there: Sequence[dict[str, Json]]
    targets: list[Target] = field(default_factory=list)
    by_code: dict[str, Target] = field(default_factory=dict)
    by_name: dict[str, list[Target]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.there:
            self._add(Target(row, new=False))

    def take(self, record: Record) -> LineError | None:
        """Plan the record; what is wrong with it, or None."""
        values = stored(record.values)
        code, name = values.get(self.kind.code), values["name_key"]
        found = self._find(code, name)
        if isinstance(found, str):
            return LineError(line=record.line, field="name", message=found)
        if found is not None and found.line is not None:
            of = self.kind.code if code else "name"
            return LineError(line=record.line, field=of, message=f"is that of line {found.line} too")
        if wrong := self._refused(found, values):
            return LineError(line=record.line, field=wrong[0], message=wrong[1])
        if found is None:
            found = Target({"id": uuid7(), **values}, new=True)
            self._add(found)
        else:
            self._change(found, values)
        found.line = record.line
        return None

    def _find(self, code: str | None, name: str) -> Target | str | None:
        if code is not None and (found := self.by_code.get(code)):
            return found
        same = self.by_name.get(name, [])
        without = next((one for one in same if one.values.get(self.kind.code) is None), None)
        if without is not None or code is not None or not same:
            return without
        if len(same) > 1:
            return f"is the name of {len(same)} {self.kind.word}s: give the {self.kind.code}"
        return same[0]

    def _refused(self, found: Target | None, values: Mapping[str, Json]) -> tuple[str, str] | None:
        """The field that the table would refuse, and why, told before it is asked."""
        others = [one for one in self.by_name.get(values["name_key"], []) if one is not found]
        if others and self.kind is not PRODUCTS:  # products with a SKU may share a name
            return "name", f"is the name of another {self.kind.word}"
        whole = {**(found.values if found else {}), **values}
        price, before = whole.get("price"), whole.get("original_price")
        if price is not None and before is not None and before < price:
            return "original_price", "is below the price"
        return None

    def _add(self, target: Target) -> None:
        self.targets.append(target)
        if code := target.values.get(self.kind.code):
            self.by_code[code] = target
        self.by_name.setdefault(target.values["name_key"], []).append(target)

    def _change(self, target: Target, values: Mapping[str, Json]) -> None:
        self.by_name[target.values["name_key"]].remove(target)
        extra = {**target.values.get("extra", {}), **values.get("extra", {})}
        target.values.update(values, **({"extra": extra} if extra else {}))
        if code := target.values.get(self.kind.code):
            self.by_code[code] = target
        self.by_name.setdefault(target.values["name_key"], []).append(target)


def _there(db: Session, tenant_id: UUID, kind: Kind, records: Sequence[Record]) -> list[dict[str, Json]]:
    """The tenant's rows that the records may mean, locked until the end."""
    table = kind.table
    codes = [code for record in records if (code := record.values.get(kind.code)) is not None]
    names = [key(record.values["name"]) for record in records]
    means = or_(getattr(table, kind.code).in_(codes), table.name_key.in_(names))
    live = select(table).where(table.tenant_id == tenant_id, table.archived_at.is_(None), means)
    rows = db.scalars(live.order_by(table.id).with_for_update())
    return [{column.name: getattr(row, column.name) for column in table.__table__.columns} for row in rows]


def _store(db: Session, tenant_id: UUID, kind: Kind, targets: Sequence[Target]) -> None:
    """Write the rows: a known id is changed, a new one made. Every row says every column, so one statement fits all."""
    table = cast(SqlTable, kind.table.__table__)
    empty: dict[str, Json] = {
        column.name: None if column.nullable else {} if column.name == "extra" else []
        for column in table.columns
        if column.name not in NEVER_SET
    }
    rows = [
        {"id": one.values["id"], "tenant_id": tenant_id, **{n: one.values.get(n, v) for n, v in empty.items()}}
        for one in targets
    ]
    if rows:
        made = insert(table)
        changed = {name: made.excluded[name] for name in empty} | {"updated_at": func.now()}
        db.execute(made.on_conflict_do_update(index_elements=["id"], set_=changed), rows)


def failures(report: Report, errors: Sequence[LineError]) -> Report:
    """The report with lines that were refused before they became records."""
    lines = {one["line"] for one in errors}
    together = sorted([*errors, *report["errors"]], key=lambda one: one["line"])
    return Report(
        imported=report["imported"],
        updated=report["updated"],
        failed=report["failed"] + len(lines),
        errors=together,
    )
