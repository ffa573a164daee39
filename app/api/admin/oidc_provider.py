"""The tenant's login provider: shown, set, removed."""

from __future__ import annotations

from typing import Any

from flask import Response

from app import auth
from app.api import blueprint
from app.api.acting import acting
from app.operation import operation
from app.schemas.admin import NewOidcProvider, OidcProvider
from identity import oidc_provider
from storage import oidc_providers

api = blueprint("oidc_provider", __name__)


@operation(
    api,
    "GET",
    "/admin/oidc",
    "Look at the login provider",
    needs="login:manage",
    answers={200: OidcProvider},
    problems=(404,),
)
def get() -> dict[str, Any]:
    """404 where the tenant has none. The client secret is not shown."""
    return oidc_providers.get(auth.tenant_id())


@operation(
    api,
    "PUT",
    "/admin/oidc",
    "Set the login provider",
    needs="login:manage",
    body=NewOidcProvider,
    answers={200: OidcProvider},
    problems=(413, 415),
)
def put(body: NewOidcProvider) -> dict[str, Any]:
    """Replaces the one that there is. Register `/api/v1/auth/oidc/{tenant}/callback` there as the redirect URI.

    403 for roles that may more than you do; only owners let a provider make owners.
    """
    secret = None if body.client_secret is None else body.client_secret.get_secret_value()
    return oidc_provider.put(acting(), body.model_dump(exclude={"client_secret"}), secret)


@operation(
    api,
    "DELETE",
    "/admin/oidc",
    "Remove the login provider",
    needs="login:manage",
    answers={204: None},
    problems=(404,),
)
def remove() -> Response:
    """Users who came from it stay, and need a password to log in."""
    oidc_provider.remove(acting())
    return Response(status=204)
