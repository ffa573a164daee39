"""The API's description: `/openapi.json` (OpenAPI 3.1, made from the operations) and `/docs` (a page to read it)."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response

from app.openapi.document import document
from app.operation import answer_json

api = Blueprint("openapi", __name__)

_PAGE = Path(__file__).parent / "page.html"


@api.get("/openapi.json")
def openapi_json() -> Response:
    """The document."""
    return answer_json(document(), headers={"Cache-Control": "no-cache"})


@api.get("/docs")
def docs() -> Response:
    """A page that shows the document and tries calls out; it loads nothing from elsewhere."""
    inline = "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
    policy = f"default-src 'none'; connect-src 'self'; {inline}"
    return Response(
        _PAGE.read_text(encoding="utf-8"),
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy},
    )
