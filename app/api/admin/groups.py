"""Groups of the tenant and who is in them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, url_for

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, operation
from app.schemas.admin import Group, GroupChanges, GroupPage, NewGroup, UserPage
from app.schemas.common import PageQuery
from identity import groups as rules
from storage import groups

api = blueprint("groups", __name__)


@operation(
    api,
    "POST",
    "/admin/groups",
    "Make a group",
    needs="users:manage",
    body=NewGroup,
    answers={201: Group},
    problems=(409, 413, 415),
)
def create(body: NewGroup) -> Response:
    """409 where another group has this name. 403 for a role that may more than you do."""
    made = rules.create(acting(), body.name, body.roles)
    return answer_json(made, 201, {"Location": url_for("groups.get", group_id=made["id"])})


@operation(
    api,
    "GET",
    "/admin/groups",
    "List groups, newest first",
    needs="users:read",
    query=PageQuery,
    answers={200: GroupPage},
)
def page(query: PageQuery) -> dict[str, Any]:
    """All groups of the tenant."""
    return groups.page(auth.tenant_id(), **query.model_dump())


@operation(api, "GET", "/admin/groups/<uuid:group_id>", "Look at a group", needs="users:read", answers={200: Group})
def get(group_id: UUID) -> dict[str, Any]:
    """With the number of its members."""
    return groups.get(auth.tenant_id(), group_id)


@operation(
    api,
    "PATCH",
    "/admin/groups/<uuid:group_id>",
    "Change a group",
    needs="users:manage",
    body=GroupChanges,
    answers={200: Group},
    problems=(409, 413, 415),
)
def change(group_id: UUID, body: GroupChanges) -> dict[str, Any]:
    """Sets the fields that are named; what its roles permit, its members may within 5 s."""
    return rules.change(acting(), group_id, body.model_dump(exclude_unset=True))


@operation(
    api,
    "DELETE",
    "/admin/groups/<uuid:group_id>",
    "Delete a group",
    needs="users:manage",
    answers={204: None},
    problems=(409,),
)
def remove(group_id: UUID) -> Response:
    """Its members lose what it gave them. 409 `last_owner` where no active owner would be left."""
    rules.remove(acting(), group_id)
    return Response(status=204)


@operation(
    api,
    "GET",
    "/admin/groups/<uuid:group_id>/members",
    "List a group's members, newest first",
    needs="users:read",
    query=PageQuery,
    answers={200: UserPage},
)
def members(group_id: UUID, query: PageQuery) -> dict[str, Any]:
    """Disabled users too."""
    return groups.members(auth.tenant_id(), group_id, **query.model_dump())


@operation(
    api,
    "PUT",
    "/admin/groups/<uuid:group_id>/members/<uuid:user_id>",
    "Put a user into a group",
    needs="users:manage",
    answers={204: None},
)
def put_member(group_id: UUID, user_id: UUID) -> Response:
    """Again is nothing. 403 for a user, or a group, that may more than you do."""
    rules.put_member(acting(), group_id, user_id)
    return Response(status=204)


@operation(
    api,
    "DELETE",
    "/admin/groups/<uuid:group_id>/members/<uuid:user_id>",
    "Take a user out of a group",
    needs="users:manage",
    answers={204: None},
    problems=(409,),
)
def remove_member(group_id: UUID, user_id: UUID) -> Response:
    """404 where they are not in it. 409 `last_owner` where no active owner would be left."""
    rules.remove_member(acting(), group_id, user_id)
    return Response(status=204)
