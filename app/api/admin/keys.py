"""API keys of the tenant: its users' and its services'."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, invalid, operation
from app.schemas.admin import KeyPage, KeysQuery, MadeKey, NewKey, Rotation
from identity import key_management
from policy.permissions import SERVICE
from storage import api_keys

api = blueprint("keys", __name__)


@operation(
    api,
    "POST",
    "/admin/keys",
    "Make a key",
    needs="keys:manage",
    body=NewKey,
    answers={201: MadeKey},
    problems=(413, 415),
)
def create(body: NewKey) -> Response:
    """Of a user, or of a service with roles of its own. The answer is the only one that shows the key. 403 for a key
    that may more than you do.
    """
    if body.user_id is not None and body.roles:
        raise invalid("roles", "are of a service's key: a user's has those of the user")
    values = body.model_dump(exclude={"roles"})
    made = key_management.create(acting(), roles=body.roles or [SERVICE], **values)
    return answer_json(made, 201)


@operation(
    api, "GET", "/admin/keys", "List keys, newest first", needs="keys:manage", query=KeysQuery, answers={200: KeyPage}
)
def page(query: KeysQuery) -> dict[str, Any]:
    """All keys of the tenant, those that have ended too. None shows the key itself."""
    return api_keys.page(auth.tenant_id(), **query.model_dump())


@operation(
    api,
    "POST",
    "/admin/keys/<uuid:key_id>/rotate",
    "Replace a key",
    needs="keys:manage",
    body=Rotation,
    body_required=False,
    answers={201: MadeKey},
    problems=(409, 413, 415),
)
def rotate(key_id: UUID, body: Rotation) -> Response:
    """A new key that may the same; both are taken until the overlap is over. 409 `key_ended` for one that has ended, or
    was replaced already.
    """
    return answer_json(key_management.rotate(acting(), key_id, body.overlap_seconds), 201)


@operation(api, "DELETE", "/admin/keys/<uuid:key_id>", "Revoke a key", needs="keys:manage", answers={204: None})
def revoke(key_id: UUID) -> Response:
    """It opens nothing any more, within 5 s; again is nothing."""
    key_management.revoke(acting(), key_id)
    return Response(status=204)
