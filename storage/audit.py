"""Writes an entry of the record in the transaction of the change that it records, so that neither is there alone.

    with session(tenant_id) as db:
        db.add(user)
        audit.write(db, entry)              # the same inside `hot().transaction`: audit.write_hot(db, entry)

The chain of hashes is made in the database (`baton_audit`, migration 0006): the head of the tenant's chain stays locked
until the transaction ends, so write the entry last.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import text
from sqlalchemy.orm import Session

from storage.postgres import Hot

_NAMES = ("actor", "action", "resource", "before", "after", "source", "trace")
_WRITE = text(f"SELECT baton_audit({', '.join(f':{name}' for name in _NAMES)})")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded: made and masked by `policy/audit.py`. before, after: JSON-able, None where there is none."""

    actor: str
    action: str
    resource: str
    before: Any = None
    after: Any = None
    source: str | None = None
    trace_id: str | None = None


class EntryMaker(Protocol):
    """Makes the entry of a change once the change is known: `partial(auth.audit, "creator.create")`."""

    def __call__(self, resource: str, *, before: Any = None, after: Any = None) -> Entry:
        """resource: `creator:<id>`; before, after: the values that changed."""
        ...


def write(db: Session, entry: Entry) -> int:
    """Add the entry to the chain of the transaction's tenant; its seq.

    The keeper's transaction has one inside `keeper_session(audited=tenant)`.
    """
    return int(db.execute(_WRITE, dict(zip(_NAMES, _values(entry), strict=True))).scalar_one())


def write_hot(db: Hot, entry: Entry) -> None:
    """The same inside `Hot.transaction`; it travels with the commit."""
    db.later("audit", *_values(entry))


def _values(entry: Entry) -> tuple[str | None, ...]:
    return (
        entry.actor,
        entry.action,
        entry.resource,
        _json(entry.before),
        _json(entry.after),
        entry.source,
        entry.trace_id,
    )


def _json(value: Any) -> str | None:
    """Times and ids become text."""
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
