"""ID tokens: the true one is believed, and none that was forged or belongs to somebody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from identity import id_tokens
from identity.id_tokens import InvalidIdToken, verify

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
ISSUER, CLIENT, NONCE, ACCESS = "https://login.example.com", "baton", "n-1", "an access token"
RSA, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
EC, ED = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
ANY = JWSRegistry(algorithms=["RS256", "RS512", "PS256", "ES256", "EdDSA", "HS256", "none"])
SAID: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "grace",
    "aud": CLIENT,
    "nonce": NONCE,
    "iat": AT,
    "exp": AT + 300,
    "at_hash": create_half_hash(ACCESS, "RS256").decode(),
}


def jwk(key: Any, **fields: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k1", "use": "sig", **fields}


def token(key: Any = RSA, header: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {name: value for name, value in {**SAID, **claims}.items() if value is not None}
    return jwt.encode({"alg": "RS256", "kid": "k1", **(header or {})}, said, key, registry=ANY)


def read(told: str, keys: Any = None) -> dict[str, Any]:
    known = [jwk(RSA)] if keys is None else keys
    return verify(told, lambda _: known, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, access_token=ACCESS, now=NOW)


def test_a_true_token_is_believed() -> None:
    assert read(token()) == SAID
    assert read(token(aud=[CLIENT]))["sub"] == "grace"
    assert read(token(aud=[CLIENT, "other"], azp=CLIENT))["azp"] == CLIENT
    assert read(token(at_hash=None))["sub"] == "grace"
    assert read(token(exp=AT - id_tokens.LEEWAY_SECONDS + 5))["sub"] == "grace"


@pytest.mark.parametrize(("algorithm", "key"), [("PS256", RSA), ("ES256", EC), ("EdDSA", ED)])
def test_every_algorithm_that_is_taken_works(algorithm: str, key: Any) -> None:
    half = create_half_hash(ACCESS, algorithm).decode()
    assert read(token(key, {"alg": algorithm}, at_hash=half), [jwk(key)])["sub"] == "grace"


def test_without_a_kid_the_only_fitting_key_is_taken() -> None:
    said = {name: value for name, value in SAID.items() if name != "at_hash"}
    plain = jwt.encode({"alg": "RS256"}, said, RSA)
    assert read(plain, [jwk(RSA), jwk(EC), jwk(OTHER, use="enc")])["sub"] == "grace"
    with pytest.raises(InvalidIdToken, match="one of 2"):
        read(plain, [jwk(RSA), jwk(OTHER, kid="k2")])


def test_the_keys_are_asked_for_by_the_tokens_kid() -> None:
    asked: list[str | None] = []

    def find(kid: str | None) -> list[dict[str, Any]]:
        asked.append(kid)
        return [jwk(RSA, kid="new")]

    told = token(header={"kid": "new"})
    verify(told, find, issuer=ISSUER, client_id=CLIENT, nonce=NONCE, access_token=ACCESS, now=NOW)
    assert asked == ["new"]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": []},
        {"aud": None},
        {"aud": {CLIENT: 1}},
        {"aud": [CLIENT, "other"]},
        {"aud": [CLIENT, "other"], "azp": "other"},
        {"azp": "other"},
        {"azp": ""},
        {"nonce": "n-2"},
        {"nonce": None},
        {"nonce": ["n-1"]},
        {"exp": AT - 61},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"iat": AT + 61},
        {"iat": None},
        {"nbf": AT + 61},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": 7},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"at_hash": 7},
    ],
)
def test_a_wrong_claim_is_not_believed(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidIdToken):
        read(token(**claims))


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _none() -> str:
    return f"{_part({'alg': 'none', 'kid': 'k1'})}.{_part(SAID)}."


def _altered() -> str:
    header, _, signature = token().split(".")
    return f"{header}.{_part({**SAID, 'sub': 'root'})}.{signature}"


def _by_the_public_key() -> str:
    """HS256 with what everybody knows as the secret."""
    told = f"{_part({'alg': 'HS256', 'kid': 'k1'})}.{_part(SAID)}"
    mac = hmac.new(RSA.as_pem(private=False), told.encode(), hashlib.sha256).digest()
    return f"{told}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _with_header(**fields: Any) -> str:
    _, body, signature = token().split(".")
    return f"{_part({'alg': 'RS256', 'kid': 'k1', **fields})}.{body}.{signature}"


@pytest.mark.parametrize(
    "forged",
    [
        _none,
        _altered,
        _by_the_public_key,
        lambda: token(OTHER),
        lambda: token(RSA, {"alg": "RS512"}),
        lambda: token(header={"kid": "k2"}),
        lambda: _with_header(kid=7),
        lambda: _with_header(alg=["RS256"]),
        lambda: token(EC, {"alg": "ES256"}),
        lambda: token()[:-2],
        lambda: token() + "." + token(),
        lambda: "",
        lambda: "a.b.c",
        lambda: "." * 2,
        lambda: "e30.e30.e30",
        lambda: f"{token()}{'A' * id_tokens.MAX_CHARACTERS}",
    ],
)
def test_a_forged_token_is_not_believed(forged: Callable[[], str]) -> None:
    with pytest.raises(InvalidIdToken):
        read(forged())


@pytest.mark.parametrize("extra", [{"crit": ["b64"], "b64": False}, {"b64": False}, {"crit": []}])
def test_a_header_that_changes_the_meaning_is_not_taken(extra: dict[str, Any]) -> None:
    with pytest.raises(InvalidIdToken, match="header"):
        read(_with_header(**extra))


def test_a_key_that_is_no_key_is_told() -> None:
    for broken in ({"kty": "RSA", "kid": "k1"}, {"kty": "RSA", "kid": "k1", "n": "AA", "e": 7}, {}):
        with pytest.raises(InvalidIdToken):
            read(token(), [broken])


def test_without_an_access_token_there_is_no_hash_of_it() -> None:
    with pytest.raises(InvalidIdToken, match="at_hash"):
        verify(token(), lambda _: [jwk(RSA)], issuer=ISSUER, client_id=CLIENT, nonce=NONCE, access_token=None, now=NOW)
