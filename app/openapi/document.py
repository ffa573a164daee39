"""Makes the OpenAPI 3.1 document from the operations that the views declared (app/operation.py)."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app import version
from app.operation import OPERATIONS, Operation
from app.schemas.common import Problem
from app.schemas.runs import Event
from policy.permissions import PUBLIC

_REFS = "#/components/schemas/{model}"
_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")
_PATH_TYPES: dict[str | None, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    None: {"type": "string"},
}
_PROBLEM_TEXTS = {
    401: "No valid API key or access token",
    403: "The permission that `x-permission` names is missing",
    404: "Nothing here, or another tenant's",
    409: "The state of the run or session does not allow this, or the name is taken",
    413: "The body is too large",
    415: "The body is of another type",
    422: "Fields are wrong; `errors` names each",
    429: "Too many requests",
    503: "The database is away; nothing was changed",
}
_HEADERS = {
    "Idempotency-Key": "The same key and body again answer with the same run; another body is 422",
    "Last-Event-ID": "The last seq that you have; a browser sends it by itself",
}
_TAGS = {
    "runs": "Start runs and look at them",
    "run_actions": "Cancel, resume, answer, fork",
    "events": "What happened, and what happens now",
    "checkpoints": "The state after each step, and effects",
    "agents": "Runs of an agent",
    "generate": "Livestream scripts",
    "sessions": "Conversations",
    "creators": "Who speaks",
    "products": "What is sold",
    "skills": "What this installation can do",
    "dead_letters": "What was given up",
    "usage": "What model calls used",
    "auth": "Log in, stay logged in, log out",
    "oidc": "Log in at the tenant's provider",
    "own_keys": "API keys of one's own",
    "users": "Who acts in the tenant",
    "groups": "Users that share roles",
    "keys": "API keys of users and services",
    "oidc_provider": "Where the tenant's users log in",
    "tenants": "The installation's tenants",
    "audit": "What was done, and by whom",
    "erasure": "Forget a user or a session",
    "health": "How the installation is",
}


@cache
def document() -> dict[str, Any]:
    """The whole document."""
    schemas, references = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for one in OPERATIONS:
        path = _VARIABLE.sub(r"{\2}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Baton",
            "version": version(),
            "summary": "Durable agent chains",
            "description": "Every error is an RFC 9457 problem (`application/problem+json`). Times are UTC.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An access token (JWT) or an API key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _schemas() -> tuple[dict[str, Any], dict[Any, Any]]:
    """The components, and by (model, mode) the reference to each."""
    wanted: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None, (Event, "serialization"): None}
    for one in OPERATIONS:
        if one.body is not None:
            wanted[one.body, "validation"] = None
        for model in one.answers.values():
            if model is not None:
                wanted[model, "serialization"] = None
    references, definitions = models_json_schema(list(wanted), ref_template=_REFS)
    return definitions["$defs"], references


def _operation(one: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": one.description,
        "tags": [one.tag],
        "parameters": [*_path_parameters(one), *_query_parameters(one), *_header_parameters(one)],
        "responses": _responses(one, references),
    }
    if one.body is not None:
        content = {"application/json": {"schema": references[one.body, "validation"]}}
        told["requestBody"] = {"required": one.body_required, "content": content}
    elif one.body_types:
        content = {media: {"schema": {"type": "string"}} for media in one.body_types[:1]}
        told["requestBody"] = {"required": True, "content": content}
    if one.needs == PUBLIC:
        told["security"] = []
    else:
        told["x-permission"] = one.needs
    return told


def _path_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PATH_TYPES[kind or None]}
        for kind, name in _VARIABLE.findall(one.path)
    ]


def _query_parameters(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    made = []
    for name, schema in one.query.model_json_schema()["properties"].items():
        kept = {key: value for key, value in schema.items() if key not in ("title", "description")}
        parameter = {"name": name, "in": "query", "required": False, "schema": kept}
        if text := schema.get("description"):
            parameter["description"] = text
        made.append(parameter)
    return made


def _header_parameters(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": _HEADERS[name]}
        for name in one.headers
    ]


def _responses(one: Operation, references: dict[Any, Any]) -> dict[str, Any]:
    texts = {101: "The WebSocket is open", 200: "OK", 201: "Made", 202: "Accepted", 204: "Done", 302: "Elsewhere"}
    made: dict[str, Any] = {}
    for status in dict.fromkeys([*one.answers, *one.streams]):
        content: dict[str, Any] = {}
        if (model := one.answers.get(status)) is not None:
            content["application/json"] = {"schema": references[model, "serialization"]}
        if status in one.streams:
            # `data:` of each message holds one event
            content["text/event-stream"] = {"schema": {"type": "string"}}
        made[str(status)] = {"description": texts[status], **({"content": content} if content else {})}
    usual: tuple[int, ...] = (401, 403, 422, 429, 503)
    if one.needs == PUBLIC:
        usual = (503,) if one.body is None and one.query is None else (422, 503)
    if "{" in _VARIABLE.sub("{}", one.path):
        usual = (*usual, 404)
    problem = {"application/problem+json": {"schema": references[Problem, "serialization"]}}
    for status in sorted({*usual, *one.problems}):
        made[str(status)] = {"description": _PROBLEM_TEXTS[status], "content": problem}
    return made
