"""API keys of one's own: a user's keys, made and ended by the user."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, operation
from app.schemas.admin import KeyPage, MadeKey, NewOwnKey, Rotation
from app.schemas.common import PageQuery
from errors import Forbidden
from identity import key_management
from storage import api_keys

api = blueprint("own_keys", __name__)


@operation(
    api,
    "POST",
    "/auth/keys",
    "Make a key of one's own",
    needs="keys:own",
    body=NewOwnKey,
    answers={201: MadeKey},
    problems=(413, 415),
)
def create(body: NewOwnKey) -> Response:
    """It may what you may, cut down to its scopes. The answer is the only one that shows the key."""
    return answer_json(key_management.create(acting(), user_id=_me(), **body.model_dump()), 201)


@operation(
    api,
    "GET",
    "/auth/keys",
    "List one's own keys, newest first",
    needs="keys:own",
    query=PageQuery,
    answers={200: KeyPage},
)
def page(query: PageQuery) -> dict[str, Any]:
    """Those that have ended too."""
    return api_keys.page(auth.tenant_id(), user_id=_me(), **query.model_dump())


@operation(
    api,
    "POST",
    "/auth/keys/<uuid:key_id>/rotate",
    "Replace a key of one's own",
    needs="keys:own",
    body=Rotation,
    body_required=False,
    answers={201: MadeKey},
    problems=(409, 413, 415),
)
def rotate(key_id: UUID, body: Rotation) -> Response:
    """As `POST /admin/keys/{key_id}/rotate`. 404 for another's."""
    return answer_json(key_management.rotate(acting(), key_id, body.overlap_seconds, user_id=_me()), 201)


@operation(
    api, "DELETE", "/auth/keys/<uuid:key_id>", "Revoke a key of one's own", needs="keys:own", answers={204: None}
)
def revoke(key_id: UUID) -> Response:
    """As `DELETE /admin/keys/{key_id}`. 404 for another's."""
    key_management.revoke(acting(), key_id, user_id=_me())
    return Response(status=204)


def _me() -> UUID:
    """Raises Forbidden for a service's key, which is nobody's."""
    user_id = auth.principal().user_id
    if user_id is None:
        raise Forbidden("This key is a service's: only a user has keys of their own.")
    return user_id
