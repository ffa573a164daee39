"""What browsers may do with our answers: security headers on all of them, and which other origins' pages may call.

CORS is closed unless `BATON_CORS_ORIGINS` lists an origin, and credentials of the browser (cookies) are never part of
it: a page sends a key or a token that it has. A WebSocket is not bound by CORS, so its `Origin` is checked here, before
anything else of the request.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, request

from errors import Forbidden
from settings import origins, settings

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
STAY_WITH_HTTPS = "max-age=31536000"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent, X-API-Key, X-Request-Id"
    ),
    "Access-Control-Max-Age": "600",
}
EXPOSED = "Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, traceparent, X-Request-Id"


def register(app: Flask) -> None:
    """Answer preflights and check a WebSocket's origin before any other look at a request; protect every answer."""
    app.before_request(_before)
    app.after_request(_protect)


def _before() -> Response | None:
    origin = request.headers.get("Origin")
    if origin is None:
        return None
    if request.headers.get("Upgrade", "").lower() == "websocket":
        if not (_is_listed(origin) or _is_own(origin)):
            raise Forbidden("Pages of this origin may not open a WebSocket here.")
    elif request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and _is_listed(origin):
        return Response(status=204, headers=PREFLIGHT)
    return None


def _protect(response: Response) -> Response:
    if "Content-Security-Policy" in response.headers:  # a page of ours, whose script may run
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
    else:
        response.headers.extend(SECURITY)  # all at once costs a third
    if settings().behind_https:
        response.headers["Strict-Transport-Security"] = STAY_WITH_HTTPS
    if request.path.startswith("/api/"):
        response.headers.setdefault("Cache-Control", "no-store")
    if settings().cors_origins:
        response.vary.add("Origin")  # or a cache would show one origin's answer to another
        if _is_listed(origin := request.headers.get("Origin", "")):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response


def _is_listed(origin: str) -> bool:
    return origin in origins(settings().cors_origins)


def _is_own(origin: str) -> bool:
    """Whether the page came from the host that this request asks."""
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:  # such as an address in half a bracket
        return False
