"""Users of the tenant: made, shown, changed, disabled."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, url_for

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import answer_json, operation
from app.schemas.admin import NewPassword, NewUser, User, UserChanges, UserPage, UsersQuery
from identity import users as rules
from storage import users

api = blueprint("users", __name__)


@operation(
    api,
    "POST",
    "/admin/users",
    "Make a user",
    needs="users:manage",
    body=NewUser,
    answers={201: User},
    problems=(409, 413, 415),
)
def create(body: NewUser) -> Response:
    """409 where another user has this address. 403 for a role that may more than you do; only owners make owners."""
    password = None if body.password is None else body.password.get_secret_value()
    made = rules.create(acting(), body.email, body.name, body.roles, password)
    return answer_json(made, 201, {"Location": url_for("users.get", user_id=made["id"])})


@operation(
    api,
    "GET",
    "/admin/users",
    "List users, newest first",
    needs="users:read",
    query=UsersQuery,
    answers={200: UserPage},
)
def page(query: UsersQuery) -> dict[str, Any]:
    """All users of the tenant, disabled ones too."""
    return users.page(auth.tenant_id(), **query.model_dump())


@operation(api, "GET", "/admin/users/<uuid:user_id>", "Look at a user", needs="users:read", answers={200: User})
def get(user_id: UUID) -> dict[str, Any]:
    """With the names of the user's groups."""
    return users.get(auth.tenant_id(), user_id)


@operation(
    api,
    "PATCH",
    "/admin/users/<uuid:user_id>",
    "Change a user",
    needs="users:manage",
    body=UserChanges,
    answers={200: User},
    problems=(409, 413, 415),
)
def change(user_id: UUID, body: UserChanges) -> dict[str, Any]:
    """Sets the fields that are named. Disabling ends the user's logins and keys at once; it takes effect within 5 s.

    409 `last_owner` where no active owner would be left. 403 for a user, or a role, that may more than you do.
    """
    return rules.change(acting(), user_id, body.model_dump(exclude_unset=True))


@operation(
    api,
    "POST",
    "/admin/users/<uuid:user_id>/password",
    "Set a user's password",
    needs="users:manage",
    body=NewPassword,
    answers={204: None},
    problems=(413, 415),
)
def set_password(user_id: UUID, body: NewPassword) -> Response:
    """For somebody who has lost theirs; all their logins end. One's own is changed by `POST /auth/password`."""
    rules.set_password(acting(), user_id, body.password.get_secret_value())
    return Response(status=204)
