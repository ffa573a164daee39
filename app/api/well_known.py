"""What stands where standards look for it: the public keys of our access tokens (RFC 7517)."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response

from app import auth
from app.operation import answer_json
from identity import signing

api = Blueprint("well_known", __name__)


@api.get("/.well-known/jwks.json")
@auth.public(api)
def jwks() -> Response:
    """The JWKS. A new key stands here ten minutes before it signs, twice as long as the answer may be kept."""
    return answer_json(signing.jwks(datetime.now(UTC)), headers={"Cache-Control": "public, max-age=300"})
