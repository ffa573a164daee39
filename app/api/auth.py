"""Log in, stay logged in, log out; who am I; tickets for what cannot send a header."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Response

from app import auth
from app.api import blueprint
from app.operation import answer_json, operation
from app.schemas.auth import ChangePassword, LogIn, LogOut, Me, NewTicket, Refresh, Ticket, Tokens
from identity import login as logins
from identity import refresh as refreshing
from identity import tickets
from policy.permissions import PUBLIC

api = blueprint("auth", __name__)

NOT_KEPT = {"Cache-Control": "no-store"}  # what comes back opens doors


def tokens_answer(tokens: refreshing.Tokens) -> Response:
    """The tokens of a login as an answer that nobody keeps."""
    return answer_json({"token_type": "Bearer", **asdict(tokens)}, headers=NOT_KEPT)


@operation(
    api,
    "POST",
    "/auth/login",
    "Log in with a password",
    needs=PUBLIC,
    body=LogIn,
    answers={200: Tokens},
    problems=(401, 413, 415, 429),
)
def login(body: LogIn) -> Response:
    """401 `invalid_credentials` whatever is wrong. From the fifth failure in a row on the name is locked for a time
    that doubles (429), whether there is such a user or not.
    """
    return tokens_answer(logins.by_password(body.tenant, body.email, body.password, auth.caller(), datetime.now(UTC)))


@operation(
    api,
    "POST",
    "/auth/refresh",
    "Take the next tokens of a login",
    needs=PUBLIC,
    body=Refresh,
    answers={200: Tokens},
    problems=(401, 413, 415),
)
def refresh(body: Refresh) -> Response:
    """A refresh token is good for one use. A second use ends the login, also where both come at the same moment:
    refresh from one place at a time.
    """
    return tokens_answer(refreshing.rotate(body.refresh_token, auth.caller(), datetime.now(UTC)))


@operation(
    api,
    "POST",
    "/auth/logout",
    "Log out",
    needs="self:read",
    body=LogOut,
    body_required=False,
    answers={204: None},
    problems=(409, 413, 415),
)
def logout(body: LogOut) -> Response:
    """The login of this access token ends, its refresh token with it. 409 for an API key, which has none."""
    end = refreshing.end_all if body.everywhere else refreshing.end
    end(auth.login(), auth.caller(), datetime.now(UTC))
    return Response(status=204)


@operation(api, "GET", "/auth/me", "Who am I", needs="self:read", answers={200: Me})
def me() -> dict[str, Any]:
    """The tenant, the roles and what they permit."""
    who = auth.principal()
    return {
        "tenant_id": who.tenant_id,
        "actor": who.actor,
        "user_id": who.user_id,
        "roles": sorted(who.roles),
        "groups": sorted(who.groups),
        "permissions": sorted(one for one in who.permissions if who.may(one)),
        "plan": who.plan,
    }


@operation(
    api,
    "POST",
    "/auth/tickets",
    "Make a ticket for a stream",
    needs="runs:read",
    body=NewTicket,
    body_required=False,
    answers={201: Ticket},
    problems=(413, 415),
)
def ticket(body: NewTicket) -> Response:
    """For browsers, whose WebSocket and EventSource send no header: `?ticket=` opens one stream, once, to read only."""
    made = {"ticket": auth.new_ticket(body.run_id), "expires_in": int(tickets.LIFE.total_seconds())}
    return answer_json(made, 201, NOT_KEPT)


@operation(
    api,
    "POST",
    "/auth/password",
    "Change one's password",
    needs="self:read",
    body=ChangePassword,
    answers={204: None},
    problems=(409, 413, 415, 429),
)
def password(body: ChangePassword) -> Response:
    """All logins of the user end, this one too: log in with the new password."""
    logins.change_password(auth.login(), body.current, body.new, auth.caller(), datetime.now(UTC))
    return Response(status=204)
