"""An access token is taken exactly as it was signed; every forgery that we know of is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

import settings as settings_module
from identity import access_tokens, signing
from identity.access_tokens import InvalidToken, Login
from identity.principal import Principal
from identity.signing import Ring
from storage.signing_keys import KeyRow

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT = int(NOW.timestamp())
KID = "k" * 16
LOGIN = Login(UUID(int=1), UUID(int=2), UUID(int=3))
WHO = Principal(LOGIN.tenant_id, "user:2", frozenset({"viewer"}), frozenset(), groups=frozenset({"夜班"}))
KEY = RSAKey.generate_key(2048)
STRANGER = RSAKey.generate_key(2048)


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The installation's only key pair; the list grows with each look at the database."""
    monkeypatch.setenv("BATON_SECRET", "a secret of the tests, long enough")
    settings_module.settings.cache_clear()
    looks: list[float] = []
    row = KeyRow(KID, KEY.as_dict(private=False), b"", NOW, NOW - timedelta(days=1), None)

    def load(at: float) -> Ring:
        looks.append(at)
        return Ring(at, (row,), {KID: KEY}, {KID: KEY})

    monkeypatch.setattr(signing, "_load", load)
    signing.forget()
    yield looks
    signing.forget()
    settings_module.settings.cache_clear()


def token() -> str:
    """A token as it is issued."""
    return access_tokens.issue(LOGIN, WHO, NOW)[0]


def coded(data: bytes | Any) -> str:
    """Base64url of bytes, or of a value's JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def plain(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def signed(header: dict[str, Any] | bytes, claims: dict[str, Any] | bytes, key: RSAKey = KEY) -> str:
    """RS256 by hand, so that the header may say anything."""
    said = f"{coded(header)}.{coded(claims)}"
    raw = key.private_key
    assert raw is not None
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return f"{said}.{coded(raw.sign(said.encode(), PKCS1v15(), SHA256()))}"


HEADER = {"alg": "RS256", "typ": "at+jwt", "kid": KID}
CLAIMS = {
    "iss": "baton",
    "aud": "baton-api",
    "sub": str(LOGIN.user_id),
    "tid": str(LOGIN.tenant_id),
    "sid": str(LOGIN.family),
    "iat": AT,
    "nbf": AT,
    "exp": AT + 900,
    "jti": "j",
}


def by_header(**other: Any) -> Callable[[], str]:
    """Rightly signed, with another header."""
    return lambda: signed({**HEADER, **other}, CLAIMS)


def by_claims(**other: Any) -> Callable[[], str]:
    """Rightly signed, with other claims; None leaves one out."""
    return lambda: signed(HEADER, {name: value for name, value in {**CLAIMS, **other}.items() if value is not None})


def unsigned(algorithm: str) -> Callable[[], str]:
    """`alg: none` in its spellings, with no signature and with the old one."""
    return lambda: f"{coded({**HEADER, 'alg': algorithm})}.{coded(CLAIMS)}."


def part(place: int, change: Callable[[str], str]) -> Callable[[], str]:
    """A real token with one of its three parts changed."""

    def forged() -> str:
        parts = token().split(".")
        parts[place] = change(parts[place])
        return ".".join(parts)

    return forged


def hs256(secret: bytes) -> Callable[[], str]:
    """The classic: the public key as the secret of an HMAC."""

    def forged() -> str:
        said = f"{coded({**HEADER, 'alg': 'HS256'})}.{coded(CLAIMS)}"
        return f"{said}.{coded(hmac.new(secret, said.encode(), hashlib.sha256).digest())}"

    return forged


def nested() -> str:
    key = OctKey.generate_key(256)
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "cty": "JWT", "kid": KID}, token(), key)


def last_bits(signature: str) -> str:
    """The same bytes, written in another way: the last character has four bits to spare."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + letters[letters.index(signature[-1]) ^ 1]


PUBLIC_DER = KEY.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_PEM = KEY.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

FORGED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "dots alone": lambda: "..",
    "one part": lambda: "a",
    "none": unsigned("none"),
    "None": unsigned("None"),
    "NONE": unsigned("NONE"),
    "nOnE": unsigned("nOnE"),
    "none with a signature": part(0, lambda _: coded({**HEADER, "alg": "none"})),
    "no algorithm": lambda: signed({"typ": "at+jwt", "kid": KID}, CLAIMS),
    "empty algorithm": by_header(alg=""),
    "algorithms": by_header(alg=["RS256"]),
    "HS256 with the PEM": hs256(PUBLIC_PEM),
    "HS256 with the DER": hs256(PUBLIC_DER),
    "HS256 with the JWK": hs256(json.dumps(KEY.as_dict(private=False)).encode()),
    "HS256 with nothing": hs256(b""),
    "RS512 in the header": by_header(alg="RS512"),
    "PS256 in the header": by_header(alg="PS256"),
    "ES256": lambda: jwt.encode({**HEADER, "alg": "ES256"}, dict(CLAIMS), ECKey.generate_key("P-256")),
    "kid climbs": by_header(kid="../../../../etc/pw"),
    "kid is a device": by_header(kid="/dev/null"),
    "kid is SQL": by_header(kid="' OR 1=1 --"),
    "kid is SQL of 16": by_header(kid="x' UNION SELECT1"),
    "kid with NUL": by_header(kid="k" * 16 + "\0"),
    "kid with a line": by_header(kid="k" * 16 + "\n"),
    "kid unknown": by_header(kid="u" * 16),
    "kid is no text": by_header(kid=7),
    "kid is missing": lambda: signed({"alg": "RS256", "typ": "at+jwt"}, CLAIMS),
    "jku": by_header(jku="https://evil.example/jwks.json"),
    "jwk": lambda: signed({**HEADER, "jwk": STRANGER.as_dict(private=False)}, CLAIMS, STRANGER),
    "x5u": by_header(x5u="https://evil.example/cert.pem"),
    "x5c": by_header(x5c=["MIIB"]),
    "crit": by_header(crit=["exp"]),
    "b64": by_header(b64=False, crit=["b64"]),
    "zip": by_header(zip="DEF"),
    "cty": by_header(cty="JWT"),
    "typ of an ID token": by_header(typ="JWT"),
    "typ is missing": lambda: signed({"alg": "RS256", "kid": KID}, CLAIMS),
    "header twice": lambda: signed(b'{"alg":"none","alg":"RS256","typ":"at+jwt","kid":"%s"}' % KID.encode(), CLAIMS),
    "header is a list": lambda: signed(b"[]", CLAIMS),
    "header is deep": lambda: signed(b'{"alg":' + b"[" * 3000, CLAIMS),
    "another key": lambda: signed(HEADER, CLAIMS, STRANGER),
    "wrong issuer": by_claims(iss="https://evil.example"),
    "wrong audience": by_claims(aud="other-api"),
    "audience of others": by_claims(aud=["other-api"]),
    **{f"no {name}": by_claims(**{name: None}) for name in CLAIMS},
    "expired": by_claims(iat=AT - 1000, nbf=AT - 1000, exp=AT - 6),
    "exp is text": by_claims(exp="never"),
    "not yet": by_claims(nbf=AT + 60),
    "from the future": by_claims(iat=AT + 60),
    "user is no id": by_claims(sub="admin"),
    "tenant is no id": by_claims(tid="*"),
    "login is a number": by_claims(sid=3),
    "claims are a list": lambda: signed(HEADER, b"[]"),
    "claims are no JSON": lambda: signed(HEADER, b"{"),
    "other claims": part(1, lambda claims: coded({**plain(claims), "roles": ["owner"]})),
    "truncated": lambda: token()[:-20],
    "no signature": part(2, lambda _: ""),
    "signature altered": part(2, lambda one: ("A" if one[0] != "A" else "B") + one[1:]),
    "signature in other bits": part(2, last_bits),
    "signature of zeros": part(2, lambda _: coded(bytes(256))),
    "padded": lambda: token() + "=",
    "standard base64": part(2, lambda _: "+/+/"),
    "a line at the end": lambda: token() + "\n",
    "five parts": lambda: token() + "..",
    "four parts": lambda: token() + ".a",
    "JSON serialisation": lambda: json.dumps({"payload": coded(CLAIMS), "signatures": []}),
    "not ASCII": lambda: token().replace(".", "．"),
    "huge": lambda: "A" * 5_000_000 + "." + "A" * 10 + ".A",
    "encrypted": nested,
}


def test_the_untouched_one_is_taken() -> None:
    assert access_tokens.verify(token(), NOW) == LOGIN
    assert access_tokens.verify(signed(HEADER, CLAIMS), NOW) == LOGIN  # what the forgeries begin with
    header, claims, _ = token().split(".")
    assert plain(header) == HEADER
    assert plain(claims)["exp"] - plain(claims)["iat"] == 900
    assert plain(claims)["roles"] == ["viewer"] and plain(claims)["groups"] == ["夜班"]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_one_is_refused(name: str) -> None:
    with pytest.raises(InvalidToken):
        access_tokens.verify(FORGED[name](), NOW)


def test_a_token_lives_for_fifteen_minutes_and_the_leeway() -> None:
    made = token()
    assert access_tokens.verify(made, NOW + timedelta(seconds=904)) == LOGIN
    assert access_tokens.verify(made, NOW - timedelta(seconds=5)) == LOGIN
    for moment in (NOW + timedelta(seconds=906), NOW - timedelta(seconds=6)):
        with pytest.raises(InvalidToken):
            access_tokens.verify(made, moment)


def test_made_up_kids_cost_the_database_one_look(one_key: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the keys, read six seconds ago
    clock = time.monotonic()
    monkeypatch.setattr(signing.time, "monotonic", lambda: clock)
    access_tokens.verify(token(), NOW)
    clock += signing.RELOAD_SECONDS + 1
    # When many tokens come with names that nobody gave
    for number in range(50):
        with pytest.raises(InvalidToken):
            access_tokens.verify(signed({**HEADER, "kid": f"{number:016}"}, CLAIMS), NOW)
    # Then the keys were read once more
    assert len(one_key) == 2


def test_many_groups_are_left_out_rather_than_some() -> None:
    crowd = Principal(LOGIN.tenant_id, "user:2", frozenset(), frozenset(), groups=frozenset(map(str, range(1000))))
    made = access_tokens.issue(LOGIN, crowd, NOW)[0]
    assert "groups" not in plain(made.split(".")[1])
    assert access_tokens.verify(made, NOW) == LOGIN
