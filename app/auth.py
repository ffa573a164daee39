"""Who may enter: an API key names the tenant, before anything else of a request is looked at.

Everything under /api/v1 needs a key, unknown paths included, so that a stranger learns nothing; the calls of health
do not, and neither does what stands at the root (/metrics, /openapi.json, /docs).
"""

from __future__ import annotations

import threading
from uuid import UUID

from flask import Flask, g, request

from app.problems import Unauthorized
from storage import tenants


class _Lookup:
    """A look at a key that is under way: who comes meanwhile with the same key shares its finding."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.tenant_id: UUID | None = None
        self.error: Exception | None = None


GUARDED = "/api/v1"
_lookups: dict[str, _Lookup] = {}
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
    found = _tenant_of(key) if key else None
    if found is None:
        raise Unauthorized("This API key is not valid." if key else None)
    g.tenant_id = found


def _tenant_of(key: str) -> UUID | None:
    """The tenant of a key, found once however many ask at the same moment (a thousand viewers that reconnect)."""
    under_way = _lookups.get(key)
    if under_way is not None:
        under_way.done.wait()
        if under_way.error is not None:
            raise under_way.error
        return under_way.tenant_id
    lookup = _lookups[key] = _Lookup()
    try:
        lookup.tenant_id = tenants.authenticate(key)
        return lookup.tenant_id
    except Exception as error:
        lookup.error = error
        raise
    finally:
        _lookups.pop(key, None)
        lookup.done.set()


def _key() -> str | None:
    """The key in `Authorization: Bearer` or `X-API-Key`; one that is not plain ASCII cannot be a key of ours."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    key = value.strip() if scheme.lower() == "bearer" else ""
    key = key or request.headers.get("X-API-Key", "").strip()
    return key if key and key.isascii() and key.isprintable() and len(key) <= 512 else None
