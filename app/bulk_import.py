"""A file of creators or products, from its bytes to the report: for the API and for `manage.py import`."""

from __future__ import annotations

from uuid import UUID

from app import csv_records
from app.schemas.studio import NewCreator, NewProduct
from storage import catalog_import
from storage.audit import EntryMaker
from storage.catalog import CREATORS, PRODUCTS, Kind
from storage.catalog_import import Report

MODELS: dict[str, tuple[Kind, type[NewCreator] | type[NewProduct]]] = {
    "creators": (CREATORS, NewCreator),
    "products": (PRODUCTS, NewProduct),
}


def import_csv(tenant_id: UUID, what: str, raw: bytes, *, dry_run: bool, record: EntryMaker | None = None) -> Report:
    """Write the good lines of a file of `creators` or `products`; the report names each bad one.

    All good lines are written in one transaction: a file is imported but for its bad lines, or (an error is raised)
    not at all. Sent again, it changes what it made before. record: makes the import's entry of the audit.
    """
    kind, model = MODELS[what]
    records, errors = csv_records.read(raw, model)
    report = catalog_import.write(tenant_id, kind, records, dry_run=dry_run, record=record)
    return catalog_import.failures(report, errors)
