"""Refresh tokens: `br_...`, opaque, used once. Each use gives the next one, and a second use of one ends the login.

There is no grace: of two requests that come with the same token at the same moment one gets the next token, and the
other ends the login, as it would if a thief were the other one. So a client refreshes from one place at a time. A login
lives `refresh_token_days` unused and `login_days` at most.
"""

from __future__ import annotations

import re
import secrets as random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

import metrics
from errors import InvalidCredentials
from identity import access_tokens, secrets
from identity.access_tokens import Login
from identity.caller import Caller
from settings import settings
from storage import refresh_tokens
from storage.audit import Entry
from storage.refresh_tokens import Family, Lives, Refusal

PATTERN = re.compile(r"br_[A-Za-z0-9_-]{43}")
KIND = "refresh token"


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives. expires_in, refresh_expires_in: seconds."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int


def begin(db: Session, tenant_id: UUID, user_id: UUID, caller: Caller, now: datetime) -> tuple[Family, str] | None:
    """Start a login in this transaction (the keeper's): (family, refresh token); None: user or tenant not active."""
    token = _new()
    family = refresh_tokens.begin(
        db, tenant_id, user_id, secrets.hashed(KIND, token), now, _lives(), source=caller.source
    )
    return None if family is None else (family, token)


def rotate(token: str, caller: Caller, now: datetime) -> Tokens:
    """The next tokens of a login. Raises InvalidCredentials, the same whatever is wrong with the token."""
    found: Family | Refusal = Refusal.UNKNOWN
    new = _new()
    if PATTERN.fullmatch(token):

        def reused(user_id: UUID, family: UUID) -> Entry:
            return caller.entry(f"user:{user_id}", "login.reuse_detected", f"login:{family}")

        hashes = (secrets.hashed(KIND, token), secrets.hashed(KIND, new))
        found = refresh_tokens.rotate(*hashes, now, _lives(), caller.source, reused)
    if isinstance(found, Refusal):
        metrics.LOGINS.labels("refresh", found.value).inc()
        if found is Refusal.REUSED:
            access_tokens.forget()
        raise InvalidCredentials()
    metrics.LOGINS.labels("refresh", "success").inc()
    return tokens(found, new, now)


def tokens(family: Family, token: str, now: datetime) -> Tokens:
    """The tokens of a login whose newest refresh token this is. Raises InvalidCredentials where it ended meanwhile."""
    login = Login(family.tenant_id, family.user_id, family.id)
    principal = access_tokens.principal(login)
    if principal is None:
        raise InvalidCredentials()
    signed, seconds = access_tokens.issue(login, principal, now)
    return Tokens(signed, seconds, token, int((family.expires_at - now).total_seconds()))


def end(login: Login, caller: Caller, now: datetime) -> None:
    """Log out: no token of this login is taken any more."""
    entry = caller.entry(f"user:{login.user_id}", "login.logout", f"login:{login.family}")
    refresh_tokens.end_family(login.tenant_id, login.user_id, login.family, "logout", now, entry)
    access_tokens.forget()


def end_all(login: Login, caller: Caller, now: datetime) -> None:
    """Log a user out everywhere."""
    entry = caller.entry(f"user:{login.user_id}", "login.logout_everywhere", f"user:{login.user_id}")
    refresh_tokens.end_everywhere(login.tenant_id, login.user_id, "logout", now, entry)
    access_tokens.forget()


def _new() -> str:
    return "br_" + random.token_urlsafe(32)


def _lives() -> Lives:
    known = settings()
    return Lives(timedelta(days=known.refresh_token_days), timedelta(days=known.login_days))
