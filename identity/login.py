"""Logging in: a name and a password become tokens, and a password becomes another one.

Whoever asks learns nothing about who there is: an unknown tenant, an unknown user, a wrong password and a disabled user
take the same work and get the same answer. What is recorded of a failure names the HMAC of the name alone.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import metrics
from errors import FieldError, InvalidCredentials, InvalidInput, LoginLocked
from identity import access_tokens, lockout, passwords, refresh
from identity.access_tokens import Login
from identity.caller import Caller
from identity.refresh import Tokens
from storage import audit, logins, refresh_tokens
from storage.logins import Account, Count
from storage.postgres import keeper_session
from storage.tenants import DEFAULT_TENANT, find_tenant
from storage.users import email_key


def by_password(tenant: str, email: str, password: str, caller: Caller, now: datetime) -> Tokens:
    """Log in. Raises InvalidCredentials or LoginLocked."""
    key = email_key(email)
    account = logins.find(tenant, key)
    name, source = lockout.by_name(account.tenant_id, tenant, key), lockout.by_source(caller.source)
    _admit(name, source, now)
    tokens = None
    if passwords.matches(password, account.password_hash):
        tokens = _begin(account, password, name, source, caller, now)
    if tokens is None:
        _failed(account.tenant_id, name, caller)
        raise InvalidCredentials()
    return tokens


def by_other_proof(tenant_id: UUID, user_id: UUID, way: str, caller: Caller, now: datetime) -> Tokens:
    """Log in a user whom somebody else vouches for; way: who, such as `oidc`. Raises InvalidCredentials."""
    with keeper_session(tenant_id) as db:
        begun = refresh.begin(db, tenant_id, user_id, caller, now)
        if begun is not None:
            logins.note_login(db, user_id, now)
            entry = caller.entry(f"user:{user_id}", "login.success", f"login:{begun[0].id}", after={"way": way})
            audit.write(db, entry)
    if begun is None:
        raise InvalidCredentials()
    metrics.LOGINS.labels(way, "success").inc()
    return refresh.tokens(*begun, now)


def change_password(login: Login, current: str, new: str, caller: Caller, now: datetime) -> None:
    """Give a user another password and end all their logins. Raises InvalidInput or LoginLocked."""
    found = logins.of_user(login.tenant_id, login.user_id)
    if found is None:
        raise InvalidCredentials()
    tenant, account = found
    passwords.check_new(new, account.email, "new")
    name, source = lockout.by_name(login.tenant_id, tenant, email_key(account.email)), lockout.by_source(caller.source)
    _admit(name, source, now)
    if not passwords.matches(current, account.password_hash):
        _failed(login.tenant_id, name, caller)
        raise InvalidInput("current is not the password", errors=[FieldError(field="current", message="is not it")])
    hashed = passwords.hashed(new)
    with keeper_session(login.tenant_id) as db:
        refresh_tokens.end_all(db, login.user_id, "password_changed", now)
        if logins.password_hash(db, login.user_id) != account.password_hash:
            raise InvalidCredentials()  # it was changed meanwhile
        logins.succeeded(db, name, source)
        logins.set_password_hash(db, login.tenant_id, login.user_id, hashed, now)
        actor = f"user:{login.user_id}"
        audit.write(db, caller.entry(actor, "user.password_changed", actor))
    access_tokens.forget()


def _begin(
    account: Account, password: str, name: Count, source: list[Count], caller: Caller, now: datetime
) -> Tokens | None:
    """Start a login whose password was right; None: the user or tenant is not active, or the password was changed."""
    assert account.tenant_id and account.user_id and account.password_hash
    better = passwords.hashed(password) if passwords.is_outdated(account.password_hash) else None
    with keeper_session(account.tenant_id) as db:
        begun = refresh.begin(db, account.tenant_id, account.user_id, caller, now)
        if begun is None or logins.password_hash(db, account.user_id) != account.password_hash:
            db.rollback()
            return None
        if better:
            logins.set_password_hash(db, account.tenant_id, account.user_id, better, now)
        logins.succeeded(db, name, source)
        logins.note_login(db, account.user_id, now)
        actor = f"user:{account.user_id}"
        audit.write(db, caller.entry(actor, "login.success", f"login:{begun[0].id}", after={"way": "password"}))
    metrics.LOGINS.labels("password", "success").inc()
    return refresh.tokens(*begun, now)


def _admit(name: Count, source: list[Count], now: datetime) -> None:
    try:
        lockout.admit([*source, name], now)
    except LoginLocked:
        metrics.LOGINS.labels("password", "locked").inc()
        raise


def _failed(tenant_id: UUID | None, name: Count, caller: Caller) -> None:
    """Record a failed login, under the installation's own tenant where there is none of that name: the same work."""
    metrics.LOGINS.labels("password", "failure").inc()
    whose = tenant_id or find_tenant(DEFAULT_TENANT)
    if whose is not None:
        with keeper_session(whose) as db:
            audit.write(db, caller.entry("anonymous", "login.failure", f"name:{name.name_hash.hex()[:16]}"))
