"""Puts the front end together: who may enter, problems, the calls of the API, OpenAPI, metrics and logs."""

from __future__ import annotations

import secrets
import time

import structlog
from flask import Flask, Response, g, request

import metrics
import telemetry
from app import auth, headers, limits, openapi, problems, websocket
from app.api import (
    agents,
    audit,
    checkpoints,
    creators,
    dead_letters,
    erasure,
    events,
    generate,
    health,
    oidc,
    own_keys,
    products,
    run_actions,
    runs,
    sessions,
    skills,
    usage,
    well_known,
)
from app.api import auth as auth_api
from app.api import metrics as metrics_api
from app.api.admin import groups, keys, oidc_provider, tenants, users
from settings import settings

log = structlog.get_logger(__name__)

BLUEPRINTS = (
    runs.api,
    run_actions.api,
    events.api,
    checkpoints.api,
    agents.api,
    generate.api,
    sessions.api,
    creators.api,
    products.api,
    skills.api,
    dead_letters.api,
    usage.api,
    audit.api,
    erasure.api,
    auth_api.api,
    own_keys.api,
    oidc.api,
    users.api,
    groups.api,
    keys.api,
    tenants.api,
    oidc_provider.api,
    well_known.api,
    health.api,
    metrics_api.api,
    openapi.api,
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def create() -> Flask:
    """The Flask application."""
    app = Flask("baton", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings().max_body_bytes
    app.config["SOCK_SERVER_OPTIONS"] = websocket.SERVER_OPTIONS
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(_begin)
    headers.register(app)
    auth.register(app)
    limits.register(app)
    problems.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.after_request(_end)
    app.teardown_request(_leave)
    return app


def _begin() -> None:
    """Give the request an id and its place in a trace: the caller's, if it sent a valid one."""
    g.began = time.monotonic()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if 0 < len(given) <= 128 and given.isascii() and given.isprintable() else secrets.token_hex(8)
    telemetry.clear_contextvars()
    g.span = telemetry.span(
        f"{request.method} {request.url_rule.rule if request.url_rule else 'unknown'}",
        traceparent=request.headers.get("traceparent") or telemetry.new_traceparent(),
        request_id=g.request_id,
    )
    g.span.__enter__()


def _end(response: Response) -> Response:
    """Count and log the answer, and tell the caller the ids under which to find it in the logs."""
    took_seconds = time.monotonic() - g.get("began", time.monotonic())
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in METHODS else "other"
    metrics.HTTP_SECONDS.labels(method, route, str(response.status_code)).observe(took_seconds)
    response.headers["X-Request-Id"] = g.get("request_id", "")
    if traceparent := telemetry.current_traceparent():
        response.headers["traceparent"] = traceparent
    if not route.startswith(("/api/v1/health", "/metrics")):
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            duration_ms=round(took_seconds * 1000, 1),
        )
    return response


def _leave(_error: BaseException | None) -> None:
    if span := g.pop("span", None):
        span.__exit__(None, None, None)
