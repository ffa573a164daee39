"""Login at a tenant's OIDC provider: the way there, the way back, and a front end's code for tokens."""

from __future__ import annotations

from datetime import UTC, datetime

from authlib.common.urls import add_params_to_uri
from flask import Response, request

from app import auth
from app.api import blueprint
from app.api.auth import NOT_KEPT, tokens_answer
from app.operation import operation
from app.schemas.admin import OidcBack, OidcCode, OidcStart
from app.schemas.auth import Tokens
from identity import login, oidc, oidc_users
from policy.permissions import PUBLIC

api = blueprint("oidc", __name__)

WAY = "oidc"


@operation(
    api,
    "GET",
    "/auth/oidc/<tenant>/login",
    "Log in at the tenant's provider",
    needs=PUBLIC,
    query=OidcStart,
    answers={302: None},
)
def start(tenant: str, query: OidcStart) -> Response:
    """For browsers: goes on to the provider, which comes back to `callback`. 404 for a tenant that has none.

    With `next`, an address of an origin that the installation lists (BATON_LOGIN_REDIRECTS), the browser ends there
    with `?login_code=...`, which `POST .../token` changes into the tokens; without, they are the answer of `callback`.
    """
    started = oidc.start(tenant, query.next, datetime.now(UTC))
    answer = Response(status=302, headers={"Location": started.url, **NOT_KEPT})
    answer.set_cookie(
        _cookie(),
        started.browser,
        max_age=int(oidc.LIFE.total_seconds()),
        secure=_is_https(),
        httponly=True,
        samesite="Lax",
    )
    return answer


@operation(
    api,
    "GET",
    "/auth/oidc/<tenant>/callback",
    "Come back from the tenant's provider",
    needs=PUBLIC,
    query=OidcBack,
    answers={200: Tokens, 302: None},
    problems=(401, 403),
)
def finish(tenant: str, query: OidcBack) -> Response:
    """401 `oidc_login_failed`, the same whatever cannot be verified; 403 where the provider's word is not enough."""
    now = datetime.now(UTC)
    said = oidc.finish(tenant, oidc.CameBack(**query.model_dump()), request.cookies.get(_cookie()), now)
    tenant_id = said.provider.tenant_id
    user_id = oidc_users.enter(said.provider, said.claims, auth.caller())
    if said.next is None:
        answer = tokens_answer(login.by_other_proof(tenant_id, user_id, WAY, auth.caller(), now))
    else:
        place = add_params_to_uri(said.next, [("login_code", oidc.code_for(tenant_id, user_id, now))])
        answer = Response(status=302, headers={"Location": place, **NOT_KEPT})
    answer.delete_cookie(_cookie(), secure=_is_https(), httponly=True, samesite="Lax")
    return answer


@operation(
    api,
    "POST",
    "/auth/oidc/<tenant>/token",
    "Change a login code into tokens",
    needs=PUBLIC,
    body=OidcCode,
    answers={200: Tokens},
    problems=(401, 413, 415),
)
def token(tenant: str, body: OidcCode) -> Response:
    """The code that came to `next` is good once, for a minute."""
    now = datetime.now(UTC)
    tenant_id, user_id = oidc.redeem(tenant, body.code, now)
    return tokens_answer(login.by_other_proof(tenant_id, user_id, WAY, auth.caller(), now))


def _cookie() -> str:
    """With __Host- no other host of the domain can set it; browsers take that name over https only."""
    return "__Host-baton-oidc" if _is_https() else "baton-oidc"


def _is_https() -> bool:
    return oidc.base_url().startswith("https://")
