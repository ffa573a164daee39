"""Who may enter: an API key names the tenant, before anything else of a request is looked at.

Everything under /api/v1 needs a key, unknown paths included, so that a stranger learns nothing; the calls of health
do not, and neither does what stands at the root (/metrics, /openapi.json, /docs).
"""

from __future__ import annotations

from uuid import UUID

from flask import Flask, g, request

from app.problems import Unauthorized
from storage import tenants

GUARDED = "/api/v1"
OPEN = frozenset({"/api/v1/health", "/api/v1/health/live", "/api/v1/health/ready"})


def register(app: Flask) -> None:
    """Check the key of every guarded request and keep its tenant in `g.tenant_id`."""
    app.before_request(_enter)


def tenant_id() -> UUID:
    """The tenant whose key this request carries."""
    return UUID(str(g.tenant_id))


def _enter() -> None:
    path = request.path.rstrip("/")
    if path in OPEN or not (path == GUARDED or path.startswith(f"{GUARDED}/")):
        return
    key = _key()
    found = tenants.authenticate(key) if key else None
    if found is None:
        raise Unauthorized("This API key is not valid." if key else None)
    g.tenant_id = found


def _key() -> str | None:
    """The key in `Authorization: Bearer` or `X-API-Key`; one that is not plain ASCII cannot be a key of ours."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    key = value.strip() if scheme.lower() == "bearer" else ""
    key = key or request.headers.get("X-API-Key", "").strip()
    return key if key and key.isascii() and key.isprintable() and len(key) <= 512 else None
