"""What an OIDC provider says of itself: its addresses (OpenID Connect Discovery 1.0) and its public keys (RFC 7517).

Fetched through the guard of `storage/outbound.py`, as a tenant's administrator chose the address, and known for ten
minutes. Strangers choose when it is asked: one that cannot be used is left alone for FAILED_SECONDS, and a key that is
not known makes us look again, once in RELOAD_SECONDS, however many tokens name made-up ones.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import structlog
from cachetools import TTLCache

from errors import ProviderAway
from storage import outbound
from storage.remembered import Remembered

log = structlog.get_logger(__name__)

KEPT_SECONDS = 600.0
FAILED_SECONDS = 10.0
RELOAD_SECONDS = 30.0
KEPT_PROVIDERS = 1000
MAX_BYTES = 256 * 1024
TIMEOUT_SECONDS = 5.0

Jwks = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Provider:
    """A provider's addresses. auth_methods: how its token endpoint lets a client prove itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    auth_methods: tuple[str, ...]


_lock = threading.Lock()
_failed: TTLCache[str, bool] = TTLCache(KEPT_PROVIDERS, FAILED_SECONDS)
_keys: TTLCache[str, tuple[float, Jwks]] = TTLCache(KEPT_PROVIDERS, KEPT_SECONDS)


def provider(issuer: str) -> Provider:
    """The addresses of the provider. Raises ProviderAway where it does not tell them, or tells another issuer's."""
    with _lock:
        if issuer in _failed:
            raise ProviderAway()
    found = _providers.of(issuer)
    assert found is not None  # `_look_up` raises where there is none
    return found


def keys(jwks_uri: str, kid: str | None) -> Jwks:
    """The provider's public keys, looked at anew where `kid` is not among them. Raises ProviderAway."""
    with _lock:
        known = _keys.get(jwks_uri)
    if known is not None:
        loaded_at, found = known
        there = kid is None or any(one.get("kid") == kid for one in found)
        if there or time.monotonic() - loaded_at < RELOAD_SECONDS:
            return found
    listed = fetched(jwks_uri).get("keys")
    if not isinstance(listed, list):
        raise away(jwks_uri, "it has no keys")
    usable = [one for one in listed if isinstance(one, dict)]
    with _lock:
        _keys[jwks_uri] = (time.monotonic(), usable)
    return usable


def fetched(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON object at an address of a provider; form: posted to it. Raises ProviderAway; Refused for a 4xx."""
    sent = {"Accept": "application/json", **(headers or {})}
    content = None
    if form is not None:
        sent["Content-Type"], content = "application/x-www-form-urlencoded", urlencode(form).encode()
    try:
        answer = outbound.fetch(
            url,
            method="GET" if form is None else "POST",
            headers=sent,
            content=content,
            timeout_seconds=TIMEOUT_SECONDS,
            max_bytes=MAX_BYTES,
        )
    except (outbound.RefusedUrl, outbound.FetchFailed) as wrong:
        raise away(url, str(wrong)) from None
    if form is not None and 400 <= answer.status < 500:
        raise Refused(f"{answer.status}")
    if answer.status != 200:
        raise away(url, f"it answered {answer.status}")
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise away(url, "it answered no JSON object")
    return told


class Refused(Exception):
    """The provider did not take the code or our credentials; the message is its status."""


def forget() -> None:
    """Ask every provider anew."""
    _providers.forget()
    with _lock:
        _failed.clear()
        _keys.clear()


def _look_up(issuer: str) -> Provider:
    """Ask the provider; many logins that begin at the same moment are one question."""
    try:
        return _read(issuer, fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    except ProviderAway:
        with _lock:
            _failed[issuer] = True
        raise


def _read(issuer: str, told: Mapping[str, Any]) -> Provider:
    if told.get("issuer") != issuer:
        raise away(issuer, "it says that it is another issuer")
    methods = told.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Provider(
        issuer,
        authorization_endpoint=_address(issuer, told, "authorization_endpoint"),
        token_endpoint=_address(issuer, told, "token_endpoint"),
        jwks_uri=_address(issuer, told, "jwks_uri"),
        auth_methods=tuple(one for one in methods if isinstance(one, str)),
    )


def _address(issuer: str, told: Mapping[str, Any], name: str) -> str:
    """One that we may ask, and to which we may send a browser."""
    place = told.get(name)
    try:
        if not isinstance(place, str) or "#" in place:
            raise outbound.RefusedUrl("is no address")
        outbound.check_url(place)
    except outbound.RefusedUrl as refused:
        raise away(issuer, f"its {name} {refused}") from None
    return place


def away(url: str, why: str) -> ProviderAway:
    """The error for a provider that cannot be used; the log tells why."""
    log.warning("oidc_provider_unusable", url=url, why=why)
    return ProviderAway()


_providers = Remembered(_look_up, KEPT_SECONDS)
