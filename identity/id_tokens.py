"""ID tokens: what an OIDC provider says of somebody who has just logged in there (OpenID Connect Core, 3.1.3.7).

    claims = verify(token, key_set, issuer=..., client_id=..., nonce=..., access_token=..., now=...)

The token comes over a connection of ours to the provider, and its signature is checked all the same.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]  # signatures by a key that we need not keep secret
LEEWAY_SECONDS = 60
MAX_CHARACTERS = 64 * 1024
MAX_SUBJECT_CHARACTERS = 255  # OpenID Connect Core 2

Claims = dict[str, Any]
PublicKey = RSAKey | ECKey | OKPKey
Jwks = Sequence[Mapping[str, Any]]
FindKeys = Callable[[str | None], Jwks]

_registry = JWSRegistry(algorithms=ALGORITHMS)


class InvalidIdToken(Exception):
    """This ID token is not to be believed. The message is for the log and the tests, not for the client."""


def verify(
    token: str, keys: FindKeys, *, issuer: str, client_id: str, nonce: str, access_token: str | None, now: datetime
) -> Claims:
    """The claims of the token. keys: the provider's public keys (JWK), looked at anew for a `kid` that is not there.

    Raises InvalidIdToken.
    """
    header = _header(token)
    key = _key(keys(header.get("kid")), header)
    try:
        claims = jwt.decode(token, key, registry=_registry).claims
        _registered(issuer, client_id, now).validate(claims)
    except (JoseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as wrong:
        raise InvalidIdToken(f"{type(wrong).__name__}: {wrong}") from None
    _check_audience(claims, client_id)
    if claims["nonce"] != nonce:  # the library would take a list that has it
        raise InvalidIdToken("nonce is of another login")
    if "at_hash" in claims and claims["at_hash"] != _half_hash(access_token, header["alg"]):
        raise InvalidIdToken("at_hash is not of this access token")
    if not 0 < len(claims["sub"]) <= MAX_SUBJECT_CHARACTERS or not claims["sub"].isprintable():
        raise InvalidIdToken("sub is no subject")
    return dict(claims)


def _registered(issuer: str, client_id: str, now: datetime) -> JWTClaimsRegistry:
    return JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client_id},
        nonce={"essential": True},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )


def _check_audience(claims: Claims, client_id: str) -> None:
    """Where the token is for others too, or names whom it was given to, that must be us."""
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != client_id:
        raise InvalidIdToken("azp is not this client")


def _half_hash(access_token: str | None, algorithm: str) -> str | None:
    return None if access_token is None else create_half_hash(access_token, algorithm).decode()


def _header(token: str) -> dict[str, str]:
    first, _, rest = token.partition(".")
    if len(token) > MAX_CHARACTERS or rest.count(".") != 1:
        raise InvalidIdToken("is no compact JWS")
    try:
        header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        raise InvalidIdToken("has no header") from None
    if not isinstance(header, dict) or header.get("alg") not in ALGORITHMS:
        raise InvalidIdToken("has an algorithm that is not taken")
    if not isinstance(header.get("kid", ""), str) or "crit" in header or header.get("b64", True) is not True:
        raise InvalidIdToken("has a header that is not taken")
    return header


def _key(known: Jwks, header: Mapping[str, str]) -> PublicKey:
    """The one key that the token can be signed with: of its `kid`, or the only one where it names none."""
    kid = header.get("kid")
    wanted = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}[header["alg"][:2]]
    fits = [
        one
        for one in known
        if one.get("kty") == wanted and one.get("use", "sig") == "sig" and (kid is None or one.get("kid") == kid)
    ]
    if len(fits) != 1:
        raise InvalidIdToken(f"is signed by none of the provider's keys, or by one of {len(fits)}")
    try:
        key = import_key({str(name): value for name, value in fits[0].items()})
    except (JoseError, ValueError, TypeError, KeyError) as wrong:
        raise InvalidIdToken(f"the provider's key is not usable: {wrong}") from None
    assert isinstance(key, RSAKey | ECKey | OKPKey)
    return key
