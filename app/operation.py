"""One decorator for every call of the API: it routes, validates, answers JSON, and describes the call for OpenAPI.

    @operation(api, "POST", "/runs", "Start a run", needs="runs:start", body=StartRun, answers={202: Run})
    def start(body: StartRun) -> Response: ...

The view gets the path's variables, `body` and `query` as validated pydantic objects. Whatever is wrong with them is
one 422 that names each field; a body of another type is 415. Who lacks the permission that the call `needs` gets a 403
before any of that is looked at (app/auth.py).
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from app import auth
from app.problems import WrongContentType
from errors import FieldError, InvalidInput

View = TypeVar("View", bound=Callable[..., Any])
Answers = Mapping[int, "type[BaseModel] | None"]

OPERATIONS: list[Operation] = []
MAX_DEPTH = 64
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Operation:
    """What OpenAPI needs to know about one call."""

    method: str
    path: str
    name: str
    summary: str
    description: str
    tag: str
    body: type[BaseModel] | None
    body_required: bool
    body_types: tuple[str, ...]
    query: type[BaseModel] | None
    answers: Answers
    streams: tuple[int, ...]
    problems: tuple[int, ...]
    headers: tuple[str, ...]
    needs: str


def operation(
    blueprint: Blueprint,
    method: str,
    path: str,
    summary: str,
    *,
    needs: str,
    ticket: bool = False,
    body: type[BaseModel] | None = None,
    body_required: bool = True,
    body_types: tuple[str, ...] = (),
    query: type[BaseModel] | None = None,
    answers: Answers,
    streams: tuple[int, ...] = (),
    problems: tuple[int, ...] = (),
    headers: tuple[str, ...] = (),
    route: Callable[[Blueprint, str, str, Callable[..., Any]], None] | None = None,
) -> Callable[[View], View]:
    """Register the decorated view. needs: a permission of policy/permissions.py, or PUBLIC; ticket: one in the address
    opens it too. streams: statuses that may come as SSE; problems: beside 401, 403, 404, 422, 503. body_types: content
    types of a body that is no JSON; the view gets its bytes.

    route: who adds the route, given the view behind its checks, instead of Flask; for what does not answer JSON.
    """

    def register(view: View) -> View:
        full = (blueprint.url_prefix or "") + path
        auth.declare(f"{blueprint.name}.{view.__name__}", needs, ticket=ticket)
        OPERATIONS.append(
            Operation(
                method=method,
                path=full,
                name=f"{blueprint.name}_{view.__name__}",
                summary=summary,
                description=(view.__doc__ or "").strip(),
                tag=blueprint.name,
                body=body,
                body_required=body_required,
                body_types=body_types,
                query=query,
                answers=answers,
                streams=streams,
                problems=problems,
                headers=headers,
                needs=needs,
            )
        )

        @functools.wraps(view)
        def checked(**path_values: Any) -> Any:
            if query is not None:
                path_values["query"] = _query(query)
            if body is not None:
                path_values["body"] = _body(body, body_required)
            elif body_types:
                path_values["body"] = _bytes(body_types)
            return view(**path_values)

        def answered(**path_values: Any) -> Response:
            answer = checked(**path_values)
            return answer if isinstance(answer, Response) else answer_json(answer)

        if route is not None:
            route(blueprint, path, view.__name__, checked)
        else:
            blueprint.add_url_rule(path, view.__name__, answered, methods=[method])
        return view

    return register


def answer_json(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; times become RFC 3339 in UTC, ids become text."""
    return Response(dumps(data), status, headers=headers, content_type="application/json")


def dumps(data: Any) -> str:
    """JSON in one line."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)


def _query(model: type[BaseModel]) -> BaseModel:
    """The query string as `model`. Empty values count as absent."""
    values = {name: value for name, value in request.args.items() if value != ""}
    _refuse_unstorable(values, "")
    return _validated(model, values)


def _raw() -> bytes:
    raw = request.get_data(cache=False)
    if request.content_length is None and len(raw) >= (request.max_content_length or len(raw) + 1):
        raise RequestEntityTooLarge  # of a body sent in chunks Flask only cuts off what is too much
    return raw


def _bytes(types: tuple[str, ...]) -> bytes:
    if request.mimetype not in types:
        raise WrongContentType(f"The body must be {types[0]}: send `Content-Type: {types[0]}`.")
    return _raw()


def _body(model: type[BaseModel], required: bool) -> BaseModel:
    raw = _raw()
    if not raw and not required:
        return _validated(model, {})
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise WrongContentType()
    data = parse_json(raw)
    if not isinstance(data, dict):
        raise invalid("body", "must be a JSON object")
    return _validated(model, data)


def parse_json(raw: bytes) -> Any:
    """The value in a JSON body. Raises InvalidInput, for text that could not be stored as well (NUL, half a pair)."""
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
            _refuse_deep(data)
        if b"\\u" in raw:
            _refuse_unstorable(data, "")
    except UnicodeDecodeError:
        raise invalid("body", "is not UTF-8") from None
    except RecursionError:
        raise invalid("body", "is nested too deeply") from None
    except ValueError as error:
        raise invalid("body", f"is not JSON: {error}") from None
    return data


def _refuse_deep(value: Any) -> None:
    """Refuse what is nested so deeply that code which walks through it, ours or a library's, would not come back."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [one for each in inner for one in each if isinstance(one, (dict, list))]
    if level:
        raise invalid("body", f"is nested more than {MAX_DEPTH} deep")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _refuse_unstorable(value: Any, path: str) -> None:
    """Refuse text that Postgres cannot hold, and say where it stands."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise invalid(path or "body", "must not contain the character NUL or half of a surrogate pair")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unstorable(key, path)
            _refuse_unstorable(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_unstorable(inner, f"{path}[{index}]")


def invalid(field_name: str, message: str) -> InvalidInput:
    """The 422 for one field."""
    return InvalidInput(f"{field_name} {message}", errors=[FieldError(field=field_name, message=message)])


def _validated(model: type[BaseModel], values: Mapping[str, Any]) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = [FieldError(field=_dotted(e["loc"]), message=e["msg"]) for e in error.errors(include_url=False)]
        detail = "; ".join(f"{e['field']}: {e['message']}" for e in found[:5])
        raise InvalidInput(detail, errors=found) from None


def _dotted(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"
