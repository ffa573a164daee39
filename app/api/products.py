"""Products: what is sold, and the facts that a script may state of it."""

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
    ImportQuery,
    ImportReport,
    NewProduct,
    Product,
    ProductChanges,
    ProductPage,
)
from storage import catalog
from storage.catalog import PRODUCTS

api = blueprint("products", __name__)

CSV = ("text/csv", "application/csv", "application/vnd.ms-excel")  # the last is what browsers on Windows say


@operation(
    api,
    "POST",
    "/products",
    "Make a product",
    needs="catalog:write",
    body=NewProduct,
    answers={201: Product},
    problems=(409, 413, 415),
)
def create(body: NewProduct) -> Response:
    """409 where another product has this SKU, or none and this name (whatever the case)."""
    made = catalog.create(auth.tenant_id(), PRODUCTS, body.model_dump(), partial(auth.audit, "product.create"))
    return answer_json(made, 201, {"Location": url_for("products.get", product_id=made["id"])})


@operation(
    api,
    "GET",
    "/products",
    "List products, newest first",
    needs="catalog:read",
    query=CatalogQuery,
    answers={200: ProductPage},
)
def page(query: CatalogQuery) -> dict[str, Any]:
    """All products of the tenant that are not archived."""
    return catalog.page(auth.tenant_id(), PRODUCTS, **query.model_dump())


@operation(api, "GET", "/products/<uuid:product_id>", "Look at a product", needs="catalog:read", answers={200: Product})
def get(product_id: UUID) -> dict[str, Any]:
    """404 for an archived one too."""
    return catalog.get(auth.tenant_id(), PRODUCTS, product_id)


@operation(
    api,
    "PUT",
    "/products/<uuid:product_id>",
    "Replace a product",
    needs="catalog:write",
    body=NewProduct,
    answers={200: Product},
    problems=(409, 413, 415),
)
def replace(product_id: UUID, body: NewProduct) -> dict[str, Any]:
    """What is left out becomes empty; the product must be there."""
    return _change(product_id, body.model_dump())


@operation(
    api,
    "PATCH",
    "/products/<uuid:product_id>",
    "Change a product",
    needs="catalog:write",
    body=ProductChanges,
    answers={200: Product},
    problems=(409, 413, 415),
)
def change(product_id: UUID, body: ProductChanges) -> dict[str, Any]:
    """Sets the fields that are named; null empties one."""
    return _change(product_id, body.model_dump(exclude_unset=True))


def _change(product_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
    return catalog.change(auth.tenant_id(), PRODUCTS, product_id, values, partial(auth.audit, "product.change"))


@operation(
    api, "DELETE", "/products/<uuid:product_id>", "Archive a product", needs="catalog:write", answers={204: None}
)
def archive(product_id: UUID) -> Response:
    """It is shown and found no more, and its name is free again; runs keep what they read."""
    catalog.archive(auth.tenant_id(), PRODUCTS, product_id, partial(auth.audit, "product.archive"))
    return Response(status=204)


@operation(
    api,
    "POST",
    "/products/import",
    "Import products from CSV",
    needs="catalog:write",
    body_types=CSV,
    query=ImportQuery,
    answers={200: ImportReport},
    problems=(409, 413, 415),
)
def import_file(query: ImportQuery, body: bytes) -> dict[str, Any]:
    """Every good line is written, in one transaction; every bad one is told with its line, field and message.

    The first line names the fields (`name` must be among them; Chinese names such as 商品名称 work too); lists stand
    between `;`, `；` or `|`; an empty cell leaves what is there. A line changes the product of its sku, else of
    its name, and makes one where there is none. A column `extra.保质期` is a fact of its own. At most 5,000 lines, in
    UTF-8 or GB18030.
    """
    record = partial(auth.audit, "product.import")
    return dict(import_csv(auth.tenant_id(), "products", body, dry_run=query.dry_run, record=record))
