"""Who may enter, and may they: a credential names the principal before anything else of a request is looked at.

Every call declares the permission that it needs (`needs=` of `@operation`, or `@auth.public` at the root), and a
route that declares none lets nobody in. Under /api/v1 unknown paths need a credential too, so that a stranger learns
nothing. A credential is an API key or an access token in a header; a ticket in the address opens a stream, once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from flask import Blueprint, Flask, g, request

import telemetry
from app.problems import Unauthorized
from errors import Forbidden, NoLogin
from identity import access_tokens, keys, tickets
from identity.access_tokens import InvalidToken, Login
from identity.caller import Caller
from identity.principal import Principal
from policy.permissions import PERMISSIONS, PUBLIC
from settings import settings
from storage.audit import Entry
from storage.tenants import key_hash

View = TypeVar("View", bound=Callable[..., Any])
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

GUARDED = "/api/v1"
IN_ADDRESS = ("access_token", "api_key", "apikey")
MAX_CHARACTERS = access_tokens.MAX_CHARACTERS


@dataclass(frozen=True)
class Entrance:
    """What a call needs: a permission or PUBLIC; ticket: whether one in the address will do."""

    needs: str
    ticket: bool = False


ENTRANCES: dict[str, Entrance] = {}  # by Flask's endpoint


def declare(endpoint: str, needs: str, *, ticket: bool = False) -> None:
    """Say what a call needs. Raises ValueError for a permission that there is not."""
    if needs != PUBLIC and needs not in PERMISSIONS:
        raise ValueError(f"{endpoint} needs {needs!r}, which policy/permissions.py does not know")
    ENTRANCES[endpoint] = Entrance(needs, ticket)


def public(blueprint: Blueprint) -> Callable[[View], View]:
    """A route outside of the API that needs nobody."""

    def register(view: View) -> View:
        declare(f"{blueprint.name}.{view.__name__}", PUBLIC)
        return view

    return register


def register(app: Flask) -> None:
    """Check the credential of every guarded request and keep its principal."""
    app.before_request(_enter)


def principal() -> Principal:
    """Who makes this request."""
    found: Principal = g.principal
    return found


def tenant_id() -> UUID:
    """The tenant that this request works in."""
    return principal().tenant_id


def login() -> Login:
    """The login that this request's access token proves. Raises NoLogin for an API key."""
    proof = _proof()
    if not isinstance(proof, Login):
        raise NoLogin()
    return proof


def new_ticket(run_id: UUID | None) -> str:
    """A ticket that stands for this request's key or login."""
    return tickets.issue(tenant_id(), _proof(), datetime.now(UTC), run_id)


def caller() -> Caller:
    """Where this request comes from, for the record."""
    return Caller(client_address(), telemetry.trace_id_of(telemetry.current_traceparent()))


def audit(action: str, resource: str, *, before: Any = None, after: Any = None) -> Entry:
    """An entry of the record for what this request does; before and after are masked."""
    return caller().entry(principal().actor, action, resource, before=before, after=after)


def client_address() -> str | None:
    """The client's address; what X-Forwarded-For says as far as the setting `trusted_proxies` vouches for it."""
    address = request.remote_addr or None
    trusted = _networks(settings().trusted_proxies)
    if address is None or not trusted:
        return address
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not _within(address, trusted) or not _is_address(hop.strip()):
            break
        address = hop.strip()
    return address


def _enter() -> None:
    entrance = ENTRANCES.get(request.endpoint or "")
    if entrance is not None and entrance.needs == PUBLIC:
        return
    path = request.path.rstrip("/")
    if request.endpoint is None and not (path == GUARDED or path.startswith(f"{GUARDED}/")):
        return  # nothing is there
    g.principal = _principal(entrance)
    telemetry.bind_contextvars(tenant_id=str(g.principal.tenant_id))
    if request.endpoint is None:
        return
    if entrance is None:
        raise Forbidden("This call declares no permission, so nobody may make it.")
    if not g.principal.may(entrance.needs):
        raise Forbidden(f"This needs the permission {entrance.needs}.")


def _principal(entrance: Entrance | None) -> Principal:
    """Who comes in. Raises Unauthorized."""
    if any(name in request.args for name in IN_ADDRESS):
        raise Unauthorized("A credential in the address is logged on its way: send it in a header.", invalid=True)
    credential = _credential()
    ticket = request.args.get("ticket") if entrance is not None and entrance.ticket else None
    found = None
    if credential is None and ticket is not None:
        found = tickets.redeem(ticket, (request.view_args or {})["run_id"], datetime.now(UTC))
    elif credential is None:
        raise Unauthorized()
    elif access_tokens.looks_like_one(credential):
        found = _logged_in(credential)
    else:
        found = keys.authenticate(credential)
    if found is None:
        raise Unauthorized("This credential is not valid, or not any more.", invalid=True)
    return found


def _logged_in(token: str) -> Principal | None:
    try:
        g.login = access_tokens.verify(token, datetime.now(UTC))
    except InvalidToken:
        return None
    return access_tokens.principal(g.login)


def _proof() -> tickets.Proof:
    """How this request came in: the login of its access token, or its key's hash. Raises Forbidden for a ticket."""
    if "login" in g:
        proved: Login = g.login
        return proved
    credential = _credential()
    if credential is None:
        raise Forbidden("A ticket opens a stream and nothing else.")
    return key_hash(credential)


def _credential() -> str | None:
    """What stands in `Authorization: Bearer` or `X-API-Key`. Raises Unauthorized for two different ones, and for what
    cannot be one of ours.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    bearer = value.strip() if scheme.lower() == "bearer" else ""
    key = request.headers.get("X-API-Key", "").strip()
    if bearer and key and bearer != key:
        raise Unauthorized("Two different credentials were sent: `Authorization` and `X-API-Key`.", invalid=True)
    found = bearer or key
    if not (found.isascii() and found.isprintable() and len(found) <= MAX_CHARACTERS):
        raise Unauthorized("This credential is not valid, or not any more.", invalid=True)
    return found or None


@cache
def _networks(listed: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one.strip(), strict=False) for one in listed.split(",") if one.strip())


def _within(address: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
