"""Every error leaves as `application/problem+json` (RFC 9457): never an HTML page, never a trace.

`register(app)` turns what anyone raises into such an answer: our own tree (`errors.BatonError`), Flask's HTTP errors
(unknown path, wrong method, too large), a database that is away (503), and whatever else (500, told in the log only).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

import metrics
from errors import BatonError, FieldError
from storage import outages

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2


class Unauthorized(BatonError):
    """This call needs an API key or an access token: `Authorization: Bearer ...` or `X-API-Key: ...`."""

    status, code = 401, "unauthorized"

    def __init__(self, message: str | None = None, *, invalid: bool = False) -> None:
        super().__init__(message)
        self.challenge = 'Bearer error="invalid_token"' if invalid else "Bearer"  # RFC 6750, 3


class WrongContentType(BatonError):
    """The body must be JSON: send `Content-Type: application/json`."""

    status, code = 415, "unsupported_media_type"


class Unavailable(BatonError):
    """The service cannot answer right now; nothing was changed. Try again."""

    status, code = 503, "unavailable"


class Internal(BatonError):
    """Something went wrong on our side."""

    status: ClassVar[int] = 500


_TITLES = {
    400: ("bad_request", "Bad request"),
    401: ("unauthorized", "Unauthorized"),
    403: ("forbidden", "Forbidden"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    409: ("conflict", "Conflict"),
    413: ("too_large", "Request body too large"),
    414: ("uri_too_long", "Address too long"),
    415: ("unsupported_media_type", "Unsupported media type"),
    422: ("invalid_input", "Invalid input"),
    429: ("rate_limited", "Too many requests"),
    500: ("internal_error", "Internal error"),
    503: ("unavailable", "Unavailable"),
}


def problem(
    status: int,
    detail: str,
    *,
    code: str | None = None,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> Response:
    """The answer for one problem; `extra` are further members of the object."""
    known_code, title = _TITLES.get(status, ("http_error", "Error"))
    code = code or known_code
    body = {
        "type": f"urn:baton:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": list(errors),
        **extra,
    }
    return Response(json.dumps(body, ensure_ascii=False), status, headers=headers, content_type=CONTENT_TYPE)


def of_error(error: BatonError) -> Response:
    """The answer for one of our own errors."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = getattr(error, "challenge", "Bearer")
    if error.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    retry_after = getattr(error, "retry_after_seconds", None)
    if error.status == 429 and retry_after is not None:
        reason = getattr(error, "reason", error.code)
        whose = getattr(g.get("principal"), "tenant_id", None)
        metrics.REQUESTS_LIMITED.labels(metrics.tenant(whose), reason).inc()
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        extra = {"reason": reason, "retry_after_seconds": round(retry_after, 3)}
    return problem(error.status, str(error), code=error.code, errors=error.errors, headers=headers, **extra)


def register(app: Flask) -> None:
    """Install the handlers; nothing that a view raises gets past them."""
    app.register_error_handler(BatonError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _ours(error: BatonError) -> Response:
    if error.status >= 500:
        log.error("request_failed", code=error.code, exc_info=error)
    return of_error(error)


def _http(error: HTTPException) -> Response:
    if isinstance(error, WebsocketMismatch):
        return _not_that_way()
    status = error.code or 500
    response = error.get_response()
    kept = {name: value for name, value in response.headers.items() if name in ("Allow", "Retry-After", "Location")}
    if status < 400:
        return Response(status=status, headers=kept)
    details = {
        404: "There is nothing at this address.",
        405: f"This address takes {kept.get('Allow', 'other methods')} only.",
        413: "The body is larger than this server takes.",
    }
    return problem(status, details.get(status) or error.description or "", headers=kept)


def _not_that_way() -> Response:
    """A WebSocket where there is none, or none where there is one."""
    asked = request.headers.get("Upgrade", "").lower() == "websocket"
    told = "is not known at this address" if asked else "must be `websocket`: this address is a WebSocket"
    return problem(422, f"Upgrade {told}", errors=[FieldError(field="Upgrade", message=told)])


def _unexpected(error: Exception) -> Response:
    if isinstance(error, outages.VALUE_REFUSED):
        # A value that no validation caught and that the database does not take, such as an integer out of range.
        log.warning("value_refused_by_database", exc_info=error)
        return problem(422, "A value in this request cannot be stored.")
    if isinstance(error, outages.DATABASE_AWAY):
        log.warning("database_away", error=outages.first_line(error))
        return of_error(Unavailable())
    log.error("request_crashed", exc_info=error)
    return of_error(Internal())
