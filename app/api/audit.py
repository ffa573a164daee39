"""The record: what was done, by whom, to what; and an export of it that can be verified without us."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Response

from app import auth
from app.api import blueprint
from app.operation import operation
from app.schemas.audit import AuditPage, AuditQuery, ExportQuery
from policy import audit_export
from storage import audit
from storage.postgres import session
from storage.reads import audit as reads

api = blueprint("audit", __name__)


@operation(
    api, "GET", "/audit", "Look at the record, newest first", needs="audit:read", query=AuditQuery,
    answers={200: AuditPage},
)  # fmt: skip
def page(query: AuditQuery) -> dict[str, Any]:
    """Who did what to what, when, from where; `before` and `after` are masked. Starts of runs are not in it."""
    items, cursor = reads.page(auth.tenant_id(), **query.model_dump())
    return {"items": items, "next_cursor": cursor}


@operation(api, "GET", "/audit/export", "Export the record", needs="audit:read", query=ExportQuery, answers={200: None})
def export(query: ExportQuery) -> Response:
    """JSON lines, oldest first, which `manage.py audit verify --file` verifies without the database.

    The first line says of which tenant and time it is, the last how many entries there are; without a last line the
    export is not whole. The export is an entry of the record itself.
    """
    tenant_id = auth.tenant_id()
    told = {name: None if at is None else at.isoformat() for name, at in (("from", query.since), ("to", query.until))}
    with session(tenant_id) as db:
        audit.write(db, auth.audit("audit.export", "audit:export", after=told))
    head = reads.head(tenant_id)
    rows = reads.in_order(tenant_id, head.seq, query.since, query.until)
    lines: Iterator[str] = audit_export.lines(tenant_id, head, rows, since=query.since, until=query.until)
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"', "Cache-Control": "no-store"}
    return Response(lines, 200, headers=headers, content_type="application/x-ndjson")
