"""Which OIDC provider a tenant's users log in with: set and removed by its administrators.

The client secret is encrypted at rest and never shown; it stays with the issuer and the client that it was given for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import FieldError, InvalidInput
from identity import secrets
from identity.acting import Acting, must_hold, told
from policy.permissions import ADMIN
from storage import audit, directory, oidc_providers, outbound
from storage.identity_tables import OidcProvider

Json = dict[str, Any]

SECRET_KIND = "oidc client secret"
TOLD = ("issuer", "client_id", "scopes", "role_claim", "role_map", "default_roles", "allowed_domains", "enabled")


def put(acting: Acting, values: Mapping[str, Any], client_secret: str | None) -> Json:
    """Set the tenant's provider. client_secret: None keeps the one that is there for the same issuer and client.

    Raises InvalidInput for an issuer that must not be asked, Forbidden for roles that the one who acts may not give.
    """
    must_hold(acting, _given(values), "give these roles at a login")
    if values["allowed_domains"]:  # whom it vouches for enters as that user, and may be anybody but an owner
        must_hold(acting, [ADMIN], "let a provider vouch for users who are here already")
    _check_issuer(values["issuer"])
    with directory.change(acting.tenant_id) as db:
        known = oidc_providers.find(db, acting.tenant_id)
        before = None if known is None else _before(acting, known)
        sealed = _kept_secret(known, values)
        if client_secret is not None:
            sealed = secrets.encrypted(SECRET_KIND, client_secret.encode())
        row = oidc_providers.put(db, acting.tenant_id, {**values, "client_secret": sealed})
        now = oidc_providers.public(row)
        after = {**told(now, TOLD), "new_client_secret": client_secret is not None}
        audit.write(db, acting.record("login.provider", "login:oidc", before=before, after=after))
    return now


def remove(acting: Acting) -> None:
    """Remove the tenant's provider. Raises NotFound, Forbidden where it gives roles that the one who acts may not."""
    with directory.change(acting.tenant_id) as db:
        row = oidc_providers.found(db, acting.tenant_id)
        before = _before(acting, row)
        oidc_providers.remove(db, row)
        audit.write(db, acting.record("login.provider_remove", "login:oidc", before=before))


def client_secret(row: OidcProvider) -> str | None:
    """The client secret in plain text. Raises WrongSecret."""
    return None if row.client_secret is None else secrets.decrypted(SECRET_KIND, row.client_secret).decode()


def _before(acting: Acting, row: OidcProvider) -> Json:
    """The provider that there is, for the record of its end or change. Raises Forbidden."""
    shown = oidc_providers.public(row)
    must_hold(acting, _given(shown), "change a provider that gives these roles")
    return told(shown, TOLD)


def _given(values: Mapping[str, Any]) -> list[str]:
    """Every role that a login there may give."""
    return [*values["default_roles"], *(values["role_map"] or {}).values()]


def _kept_secret(known: OidcProvider | None, values: Mapping[str, Any]) -> bytes | None:
    """A secret must not be sent to another issuer than the one that gave it."""
    if known is None or (known.issuer, known.client_id) != (values["issuer"], values["client_id"]):
        return None
    return known.client_secret


def _check_issuer(issuer: str) -> None:
    try:
        outbound.check_url(issuer)
    except outbound.RefusedUrl as refused:
        message = str(refused)
        raise InvalidInput(f"issuer {message}", errors=[FieldError(field="issuer", message=message)]) from None
