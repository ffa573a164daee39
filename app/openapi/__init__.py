"""The API's description: `/openapi.json` (OpenAPI 3.1, made from the operations) and `/docs` (a page to read it)."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from flask import Blueprint, Response

from app import auth
from app.openapi.document import document
from app.operation import answer_json

api = Blueprint("openapi", __name__)

_PAGE = Path(__file__).parent / "page.html"


@api.get("/openapi.json")
@auth.public(api)
def openapi_json() -> Response:
    """The document."""
    return answer_json(document(), headers={"Cache-Control": "no-cache"})


@api.get("/docs")
@auth.public(api)
def docs() -> Response:
    """A page that shows the document and tries calls out; it loads nothing from elsewhere."""
    text = _PAGE.read_text(encoding="utf-8")
    return Response(text, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _policy(text)})


@cache
def _policy(page: str) -> str:
    """What the page may do: run the script and the style that stand in it, by their hashes, and ask this server."""
    allowed = {tag: _hashes(page, tag) for tag in ("script", "style")}
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; "
        f"img-src data:; script-src {allowed['script']}; style-src {allowed['style']}"
    )


def _hashes(page: str, tag: str) -> str:
    blocks = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
