"""Creators: who speaks, and what they never say."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from flask import Response, url_for

from app import auth
from app.api import blueprint
from app.bulk_import import import_csv
from app.operation import answer_json, operation
from app.schemas.studio import (
    CatalogQuery,
    Creator,
    CreatorChanges,
    CreatorPage,
    ImportQuery,
    ImportReport,
    NewCreator,
)
from storage import catalog
from storage.catalog import CREATORS

api = blueprint("creators", __name__)

CSV = ("text/csv", "application/csv", "application/vnd.ms-excel")  # the last is what browsers on Windows say


@operation(
    api,
    "POST",
    "/creators",
    "Make a creator",
    needs="catalog:write",
    body=NewCreator,
    answers={201: Creator},
    problems=(409, 413, 415),
)
def create(body: NewCreator) -> Response:
    """409 where another creator has this name (whatever the case) or external id."""
    made = catalog.create(auth.tenant_id(), CREATORS, body.model_dump(), partial(auth.audit, "creator.create"))
    return answer_json(made, 201, {"Location": url_for("creators.get", creator_id=made["id"])})


@operation(
    api,
    "GET",
    "/creators",
    "List creators, newest first",
    needs="catalog:read",
    query=CatalogQuery,
    answers={200: CreatorPage},
)
def page(query: CatalogQuery) -> dict[str, Any]:
    """All creators of the tenant that are not archived."""
    return catalog.page(auth.tenant_id(), CREATORS, **query.model_dump())


@operation(api, "GET", "/creators/<uuid:creator_id>", "Look at a creator", needs="catalog:read", answers={200: Creator})
def get(creator_id: UUID) -> dict[str, Any]:
    """404 for an archived one too."""
    return catalog.get(auth.tenant_id(), CREATORS, creator_id)


@operation(
    api,
    "PUT",
    "/creators/<uuid:creator_id>",
    "Replace a creator",
    needs="catalog:write",
    body=NewCreator,
    answers={200: Creator},
    problems=(409, 413, 415),
)
def replace(creator_id: UUID, body: NewCreator) -> dict[str, Any]:
    """What is left out becomes empty; the creator must be there."""
    return _change(creator_id, body.model_dump())


@operation(
    api,
    "PATCH",
    "/creators/<uuid:creator_id>",
    "Change a creator",
    needs="catalog:write",
    body=CreatorChanges,
    answers={200: Creator},
    problems=(409, 413, 415),
)
def change(creator_id: UUID, body: CreatorChanges) -> dict[str, Any]:
    """Sets the fields that are named; null empties one."""
    return _change(creator_id, body.model_dump(exclude_unset=True))


def _change(creator_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
    return catalog.change(auth.tenant_id(), CREATORS, creator_id, values, partial(auth.audit, "creator.change"))


@operation(
    api, "DELETE", "/creators/<uuid:creator_id>", "Archive a creator", needs="catalog:write", answers={204: None}
)
def archive(creator_id: UUID) -> Response:
    """It is shown and found no more, and its name is free again; runs keep what they read."""
    catalog.archive(auth.tenant_id(), CREATORS, creator_id, partial(auth.audit, "creator.archive"))
    return Response(status=204)


@operation(
    api,
    "POST",
    "/creators/import",
    "Import creators from CSV",
    needs="catalog:write",
    body_types=CSV,
    query=ImportQuery,
    answers={200: ImportReport},
    problems=(409, 413, 415),
)
def import_file(query: ImportQuery, body: bytes) -> dict[str, Any]:
    """Every good line is written, in one transaction; every bad one is told with its line, field and message.

    The first line names the fields (`name` must be among them; Chinese names such as 达人名称 work too); lists stand
    between `;`, `；` or `|`; an empty cell leaves what is there. A line changes the creator of its external_id, else of
    its name, and makes one where there is none. At most 5,000 lines, UTF-8 or GB18030.
    """
    record = partial(auth.audit, "creator.import")
    return dict(import_csv(auth.tenant_id(), "creators", body, dry_run=query.dry_run, record=record))
