"""A run's checkpoints, and its effects."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from app import auth
from app.api import blueprint
from app.operation import operation
from app.schemas.common import PageQuery
from app.schemas.runs import CheckpointPage, CheckpointState, EffectPage
from app.state import folded
from errors import NotFound
from storage.reads import checkpoints as reads
from storage.reads import effects as ledger
from storage.reads.cursors import decode, encode

api = blueprint("checkpoints", __name__)

MAX_VERSION = 2**31 - 1


@operation(
    api,
    "GET",
    "/runs/<uuid:run_id>/checkpoints",
    "List a run's checkpoints",
    needs="runs:read",
    query=PageQuery,
    answers={200: CheckpointPage},
)
def page(run_id: UUID, query: PageQuery) -> dict[str, Any]:
    """Oldest first, one for each succeeded step."""
    place = decode(query.cursor, int)
    first = (place[0] if place else 0) + 1
    last = min(first + query.limit - 1, MAX_VERSION)
    newest = reads.newest_version(auth.tenant_id(), run_id)
    rows, trace_id = reads.of_run(auth.tenant_id(), run_id, last) if first <= newest else ([], "")
    wanted = {row.version for row in rows if row.version >= first}
    items = [checkpoint for checkpoint, _ in folded(rows, trace_id, wanted)]
    return {"items": items, "next_cursor": encode(last) if last < newest else None}


@operation(
    api,
    "GET",
    "/runs/<uuid:run_id>/checkpoints/<int:version>",
    "Look at a checkpoint with its state",
    needs="runs:read",
    answers={200: CheckpointState},
)
def get(run_id: UUID, version: int) -> dict[str, Any]:
    """The state is, by name, the last output of each node up to this version; its canonical JSON has the checksum."""
    return at(run_id, version)


@operation(
    api,
    "GET",
    "/runs/<uuid:run_id>/effects",
    "List a run's effects",
    needs="runs:read",
    query=PageQuery,
    answers={200: EffectPage},
)
def effects(run_id: UUID, query: PageQuery) -> dict[str, Any]:
    """What the run did to the outside world, in the order of its intents."""
    items, cursor = ledger.page(auth.tenant_id(), run_id, limit=query.limit, cursor=query.cursor)
    return {"items": items, "next_cursor": cursor}


def at(run_id: UUID, version: int) -> dict[str, Any]:
    """A run's checkpoint with its state. Raises NotFound."""
    rows, trace_id = reads.of_run(auth.tenant_id(), run_id, min(version, MAX_VERSION))
    for checkpoint, text in folded(rows, trace_id, {version}):
        return {**checkpoint, "state": json.loads(text())}
    raise NotFound("There is no checkpoint of this version.")
