"""Access tokens: who has logged in, signed for 15 minutes (JWT with RS256, the profile of RFC 9068).

A token proves a login and nothing else: roles and whether the user, the tenant and the login are still active are
looked up, at most five seconds ago, so that none of it waits for the token's end. The claims `roles` and `groups` are
for others to read. The header is held to what we write ourselves: everything that names a key or changes what is
signed (`jku`, `jwk`, `x5c`, `crit`, `b64`, ...) is refused before the signature is looked at.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from identity import signing
from identity.principal import Principal, principal_of
from settings import settings
from storage import standing
from storage.remembered import Remembered

AUDIENCE = "baton-api"
TYPE = "at+jwt"
ALGORITHMS = ["RS256"]
LEEWAY_SECONDS = 5
MAX_CHARACTERS = 8192
MAX_GROUPS_BYTES = 2048
REQUIRED = ("iss", "aud", "sub", "tid", "sid", "iat", "nbf", "exp", "jti")

_jws = JWSRegistry(algorithms=ALGORITHMS)


class InvalidToken(Exception):
    """This is no access token of ours, or not any more. The message is for tests and the log, not for the client."""


@dataclass(frozen=True, slots=True)
class Login:
    """What an access token proves. family: of the refresh tokens of this login."""

    tenant_id: UUID
    user_id: UUID
    family: UUID


def issue(login: Login, principal: Principal, now: datetime) -> tuple[str, int]:
    """(token, seconds until it expires) for a login that has just been proved."""
    kid, key = signing.signer(now)
    seconds = int(signing.TOKEN_LIFE.total_seconds())
    at = int(now.timestamp())
    claims = {
        "iss": settings().issuer,
        "aud": AUDIENCE,
        "sub": str(login.user_id),
        "tid": str(login.tenant_id),
        "sid": str(login.family),
        "roles": sorted(principal.roles),
        "iat": at,
        "nbf": at,
        "exp": at + seconds,
        "jti": secrets.token_urlsafe(12),
    }
    groups = sorted(principal.groups)
    if len(json.dumps(groups, ensure_ascii=False).encode()) <= MAX_GROUPS_BYTES:  # else none rather than some
        claims["groups"] = groups
    return jwt.encode({"alg": "RS256", "typ": TYPE, "kid": kid}, claims, key, registry=_jws), seconds


def verify(token: str, now: datetime) -> Login:
    """What a token proves at `now`. Raises InvalidToken."""
    header = _header(token)
    key = signing.verifier(header["kid"])
    if key is None:
        raise InvalidToken("unknown kid")
    try:
        claims = jwt.decode(token, key, registry=_jws).claims
        _claims(now).validate(claims)
        return Login(UUID(claims["tid"]), UUID(claims["sub"]), UUID(claims["sid"]))
    except (JoseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
        raise InvalidToken(f"{type(wrong).__name__}: {wrong}") from None


def principal(login: Login) -> Principal | None:
    """Who this is now, found at most five seconds ago; None: disabled, suspended, or the login was ended."""
    return _known.of(login)


def looks_like_one(credential: str) -> bool:
    """Whether this is meant as an access token: an API key has no dots."""
    return "." in credential


def forget() -> None:
    """Look at every login anew: this process has just changed one."""
    _known.forget()


def _claims(now: datetime) -> JWTClaimsRegistry:
    options: dict[str, Any] = {name: {"essential": True} for name in REQUIRED}
    options["iss"]["value"] = settings().issuer
    options["aud"]["value"] = AUDIENCE
    return JWTClaimsRegistry(now=int(now.timestamp()), leeway=LEEWAY_SECONDS, **options)


def _header(token: str) -> dict[str, str]:
    """The header, if it is exactly one of ours. Raises InvalidToken."""
    parts = token.split(".")
    if len(token) > MAX_CHARACTERS or len(parts) != 3 or not all(parts):
        raise InvalidToken("is no compact JWS")
    decoded = [_decoded(part) for part in parts]
    try:
        header = json.loads(decoded[0], object_pairs_hook=_once)
    except (ValueError, RecursionError) as wrong:
        raise InvalidToken(f"header: {wrong}") from None
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
        raise InvalidToken("header: other members than alg, kid and typ")
    if header["alg"] not in ALGORITHMS or header["typ"] != TYPE:
        raise InvalidToken("header: another algorithm or type")
    if not isinstance(header["kid"], str) or not signing.KID.fullmatch(header["kid"]):
        raise InvalidToken("header: no kid of ours")
    return header


def _decoded(part: str) -> bytes:
    """Base64url without padding, and no second way to write the same bytes."""
    try:
        raw = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidToken("is not base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise InvalidToken("is not canonical base64url")
    return raw


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _twice()
    return found


def _twice() -> NoReturn:
    raise ValueError("a member stands there twice")


def _look_up(login: Login) -> Principal | None:
    found = standing.of_login(login.tenant_id, login.user_id, login.family)
    return None if found is None else principal_of(found)


_known = Remembered(_look_up)
