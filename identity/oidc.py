"""Login at a tenant's OIDC provider: authorization code flow with PKCE (RFC 7636), state and nonce.

    started = start("acme", None, now)          the browser goes to started.url and keeps started.browser in a cookie
    finish("acme", answer, browser, ...)        it came back with a code: who it is, as a user of the tenant

The state stands in `one_time_tokens` and opens the way back once, in the browser that began. Nonce and code verifier
are made from it under BATON_SECRET, so that neither is kept anywhere. What the provider's word is worth here is
`identity/oidc_users.py`'s matter.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets as random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import structlog
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

import metrics
from errors import FieldError, InvalidInput, LoginNotVerified, NotFound
from identity import id_tokens, oidc_discovery, oidc_provider, secrets
from identity.oidc_discovery import Provider
from settings import settings
from storage import oidc_providers, one_time_tokens
from storage.identity_tables import OidcProvider

log = structlog.get_logger(__name__)

LIFE = timedelta(minutes=10)
CODE_LIFE = timedelta(seconds=60)
RANDOM = re.compile(r"[A-Za-z0-9_-]{43}")
KIND = "oidc_login"  # of one_time_tokens


@dataclass(frozen=True, slots=True)
class Started:
    """url: where the browser goes; browser: what it keeps in a cookie for the way back."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class CameBack:
    """The query of the way back: RFC 6749, 4.1.2, and `iss` of RFC 9207."""

    state: str | None
    code: str | None
    error: str | None
    iss: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """Whom the provider named, for which tenant. next: where the browser wants to go with its login."""

    provider: OidcProvider
    claims: dict[str, Any]
    next: str | None


def start(tenant: str, next_url: str | None, now: datetime) -> Started:
    """Send somebody to the tenant's provider. Raises NotFound, ProviderAway; InvalidInput for `next`."""
    row = _provider_of(tenant)
    if next_url is not None and not may_go_to(next_url):
        message = "is at no origin of BATON_LOGIN_REDIRECTS"
        raise InvalidInput(f"next {message}", errors=[FieldError(field="next", message=message)])
    provider = oidc_discovery.provider(row.issuer)
    state, browser = random.token_urlsafe(32), random.token_urlsafe(32)
    data = {"browser": _of("browser", browser), "issuer": row.issuer, "client_id": row.client_id, "next": next_url}
    one_time_tokens.add(secrets.hashed("oidc state", state), row.tenant_id, KIND, data, now + LIFE)
    asked = {
        "response_type": "code",
        "client_id": row.client_id,
        "redirect_uri": redirect_uri(tenant),
        "scope": " ".join(dict.fromkeys(("openid", *row.scopes))),
        "state": state,
        "nonce": _of("nonce", state),
        "code_challenge": create_s256_code_challenge(_of("verifier", state)),
        "code_challenge_method": "S256",
    }
    return Started(add_params_to_uri(provider.authorization_endpoint, list(asked.items())), browser)


def finish(tenant: str, back: CameBack, browser: str | None, now: datetime) -> Said:
    """Whom the provider names for the way back. Raises NotFound, ProviderAway; LoginNotVerified, and logs why."""
    row = _provider_of(tenant)
    state, data = _state(row, back, browser, now)
    if back.iss is not None and back.iss != row.issuer:
        raise _refused(row, "the answer is another issuer's")
    if back.error is not None or not back.code:
        raise _refused(row, f"the provider said {(back.error or 'nothing')[:100]!r}")
    provider = oidc_discovery.provider(row.issuer)
    told = _exchanged(row, provider, tenant, back.code, _of("verifier", state))
    token = told.get("id_token")
    access_token = told.get("access_token")
    if not isinstance(token, str):
        raise _refused(row, "the provider sent no ID token")
    try:
        claims = id_tokens.verify(
            token,
            partial(oidc_discovery.keys, provider.jwks_uri),
            issuer=row.issuer,
            client_id=row.client_id,
            nonce=_of("nonce", state),
            access_token=access_token if isinstance(access_token, str) else None,
            now=now,
        )
    except id_tokens.InvalidIdToken as wrong:
        raise _refused(row, f"ID token: {wrong}") from None
    return Said(row, claims, data["next"])


def code_for(tenant_id: UUID, user_id: UUID, now: datetime) -> str:
    """A code that a front end, to which the browser is sent, changes into the login's tokens: once, within a minute."""
    code = random.token_urlsafe(32)
    one_time_tokens.add(secrets.hashed("oidc code", code), tenant_id, KIND, {"user_id": str(user_id)}, now + CODE_LIFE)
    return code


def redeem(tenant: str, code: str, now: datetime) -> tuple[UUID, UUID]:
    """(tenant, user) of such a code, which is used up. Raises NotFound, LoginNotVerified."""
    row = _provider_of(tenant)
    taken = one_time_tokens.take(secrets.hashed("oidc code", code), KIND, now) if RANDOM.fullmatch(code) else None
    if taken is None or taken.tenant_id != row.tenant_id:
        raise _refused(row, "the front end's code is unknown, used, too old, or another tenant's")
    return taken.tenant_id, UUID(taken.data["user_id"])


def redirect_uri(tenant: str) -> str:
    """Where the provider sends the browser back to; it must be registered there."""
    return f"{base_url()}/api/v1/auth/oidc/{quote(tenant, safe='')}/callback"


def base_url() -> str:
    """The address under which browsers reach the API: never the one that a request names."""
    return settings().public_url.rstrip("/") or f"http://127.0.0.1:{settings().port}"


def may_go_to(url: str) -> bool:
    """Whether a login may end at this address: at an origin that the installation lists, and nowhere else."""
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\@#"<>'):
        return False
    try:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return False
    return origin in [one.strip() for one in settings().login_redirects.split(",") if one.strip()]


def _provider_of(tenant: str) -> OidcProvider:
    row = oidc_providers.of_tenant(tenant)
    if row is None:
        raise NotFound("There is no tenant of this name that logs in at a provider.")
    return row


def _state(row: OidcProvider, back: CameBack, browser: str | None, now: datetime) -> tuple[str, dict[str, Any]]:
    """The state, used up, with what was kept beside it."""
    state = back.state or ""
    taken = one_time_tokens.take(secrets.hashed("oidc state", state), KIND, now) if RANDOM.fullmatch(state) else None
    if taken is None:
        raise _refused(row, "the state is unknown, used or too old")
    data = taken.data
    if not browser or not hmac.compare_digest(_of("browser", browser).encode(), data["browser"].encode()):
        raise _refused(row, "another browser began")
    if (taken.tenant_id, data["issuer"], data["client_id"]) != (row.tenant_id, row.issuer, row.client_id):
        raise _refused(row, "the state is another tenant's or another provider's")
    return state, data


def _exchanged(row: OidcProvider, provider: Provider, tenant: str, code: str, verifier: str) -> dict[str, Any]:
    """The token endpoint's answer for the code (RFC 6749, 4.1.3; the client proves itself by 2.3.1)."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri(tenant),
        "code_verifier": verifier,
    }
    headers: dict[str, str] = {}
    secret = oidc_provider.client_secret(row)
    if secret is None or "client_secret_basic" not in provider.auth_methods:
        form |= {"client_id": row.client_id, **({} if secret is None else {"client_secret": secret})}
    else:
        pair = f"{quote(row.client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    try:
        return oidc_discovery.fetched(provider.token_endpoint, form, headers)
    except oidc_discovery.Refused as refused:
        raise _refused(row, f"the provider refused the code: {refused}") from None


def _of(what: str, state: str) -> str:
    """A value made from the state (or the browser's cookie) that nobody can make without BATON_SECRET."""
    return base64.urlsafe_b64encode(secrets.hashed(f"oidc {what}", state)).rstrip(b"=").decode()


def _refused(row: OidcProvider, why: str) -> LoginNotVerified:
    """The same answer whatever was wrong; the log tells."""
    metrics.LOGINS.labels("oidc", "failure").inc()
    log.warning("oidc_login_refused", tenant_id=str(row.tenant_id), why=why)
    return LoginNotVerified()
