"""Logging in: what is sent, and what comes back."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from app.schemas.common import In, Name, Out
from identity.passwords import MAX_CHARACTERS
from storage.tenants import DEFAULT_TENANT

Password = Field(min_length=1, max_length=1024, repr=False)


class LogIn(In):
    """A tenant's name, and a user's address and password in it."""

    tenant: Name = Field(DEFAULT_TENANT, description="the tenant's name")
    email: Name
    password: str = Password


class Refresh(In):
    """The newest refresh token of a login."""

    refresh_token: str = Field(min_length=1, max_length=256, repr=False)


class LogOut(In):
    """Which logins end."""

    everywhere: bool = Field(False, description="all of this user's logins, not this one alone", strict=True)


class ChangePassword(In):
    """The password as it is, and as it will be."""

    current: str = Password
    new: str = Field(min_length=1, max_length=1024, repr=False, description=f"12 to {MAX_CHARACTERS} characters")


class Tokens(Out):
    """What a login gives: send the access token with each call, and the refresh token for the next two."""

    access_token: str = Field(description="a JWT; `Authorization: Bearer ...`")
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="seconds")
    refresh_token: str = Field(description="good for one use")
    refresh_expires_in: int = Field(description="seconds")


class Me(Out):
    """Who makes this call, and what they may."""

    tenant_id: UUID
    actor: str = Field(description="as the record of changes names you: `user:ID` or `key:PREFIX`")
    user_id: UUID | None
    roles: list[str]
    groups: list[str]
    permissions: list[str]
    plan: str


class NewTicket(In):
    """What a ticket opens."""

    run_id: UUID | None = Field(None, description="this run's events only")


class Ticket(Out):
    """Opens one stream once: `?ticket=...` at the address of a run's events or WebSocket."""

    ticket: str
    expires_in: int = Field(description="seconds")
