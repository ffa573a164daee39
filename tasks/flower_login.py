"""Who may look at Flower: operators of the installation's own tenant, by Baton's own login.

HTTP Basic: with an API key as the password (any name), or with `TENANT/E-MAIL` and that user's password. What was
proved is remembered, what they may is looked at with each request: who loses the role is out within seconds.
Flower itself is read-only, and task arguments hold ids alone.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Any

from cachetools import TTLCache
from tornado.web import HTTPError

from errors import BatonError
from identity import access_tokens, keys, login, secrets
from identity.access_tokens import Login
from identity.caller import Caller
from identity.principal import Principal
from storage import outages

NEEDS = "operations:view"
LOGIN_LIFE = timedelta(minutes=15)
_logins: TTLCache[bytes, Login] = TTLCache(1000, LOGIN_LIFE.total_seconds())


def current_user(handler: Any) -> str:
    """Flower's `get_current_user`: the actor.

    Raises HTTPError: 401 for a stranger, 403 for who may not, 503 while nobody can be looked up.
    """
    name, password = _given(handler.request.headers.get("Authorization", ""))
    try:
        found = keys.authenticate(password) or _logged_in(name, password, handler.request.remote_ip)
    except outages.DATABASE_AWAY:
        raise HTTPError(503) from None
    if found is None:
        raise HTTPError(401)
    if not (found.platform and found.may(NEEDS)):
        raise HTTPError(403, f"This needs the permission {NEEDS} in the installation's own tenant.")
    return found.actor


def _given(header: str) -> tuple[str, str]:
    scheme, _, value = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise HTTPError(401) from None
    if scheme.lower() != "basic" or not colon or "\0" in name + password:  # NUL: nothing stored has it
        raise HTTPError(401)
    return name, password


def _logged_in(name: str, password: str, source: str | None) -> Principal | None:
    """Who has this name and password. A login is a slow hash and an entry of the record, so it is kept for a while."""
    tenant, slash, email = name.partition("/")
    if not slash:
        return None
    known = secrets.hashed("flower login", f"{name}:{password}")
    if known not in _logins:
        now = datetime.now(UTC)
        try:
            given = login.by_password(tenant, email, password, Caller(source), now)
        except BatonError:
            return None
        _logins[known] = access_tokens.verify(given.access_token, now)
    found = access_tokens.principal(_logins[known])
    if found is None:
        _logins.pop(known, None)  # ended: the next request may log in again
    return found
