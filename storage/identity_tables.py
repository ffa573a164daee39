"""The tables of identity: tenants, who acts in them (users, groups, API keys), and what proves it.

What `tables.py` says of the engine's tables holds here too. A request reads one row of these (its key, or none with an
access token); a person clicks the rest. Nothing that opens a door is kept in plain text: keys, refresh tokens and
one-time tokens as HMAC under BATON_SECRET, passwords as argon2id, private keys and client secrets encrypted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.tables import Base, one_of

TENANT_STATUSES = ("active", "suspended")
PLANS = ("unlimited", "starter", "professional", "enterprise")
USER_STATUSES = ("active", "disabled")
TOKEN_KINDS = ("ticket", "oidc_login", "password_reset")
NO_TEXTS = text("'{}'")


class Tenant(Base):
    """Who owns rows. Every other row of a tenant carries its id and is seen by nobody else.

    plan, limits: what it may use (policy/plans.yaml), and where it differs from its plan; weight: its share where
    tenants wait for free slots.
    """

    __tablename__ = "tenants"
    __table_args__ = (one_of("status", TENANT_STATUSES, "tenants"), one_of("plan", PLANS, "tenants"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    plan: Mapped[str] = mapped_column(server_default=text("'unlimited'"))
    limits: Mapped[Any | None]
    weight: Mapped[int] = mapped_column(server_default=text("1"))


class User(Base):
    """A person of a tenant. roles: given to the person; those of the groups come on top.

    external_issuer, external_subject: `iss` and `sub` at the tenant's OIDC provider.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("status", USER_STATUSES, "users"),
        Index("users_by_email", "tenant_id", "email_key", unique=True),
        Index(
            "users_by_subject",
            "tenant_id",
            "external_issuer",
            "external_subject",
            unique=True,
            postgresql_where=text("external_subject IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    email: Mapped[str]
    email_key: Mapped[str]
    name: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    external_issuer: Mapped[str | None]
    external_subject: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_login_at: Mapped[datetime | None]


class UserPassword(Base):
    """The argon2id hash of a user's password, in a table that only the keeper's role reads."""

    __tablename__ = "user_passwords"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    tenant_id: Mapped[UUID]
    hash: Mapped[str]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Group(Base):
    """Users of a tenant that share roles and are named together, as in the approvers `group:security-ops`."""

    __tablename__ = "groups"
    __table_args__ = (Index("groups_by_name", "tenant_id", "name", unique=True),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str]
    roles: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class GroupMember(Base):
    """A user in a group."""

    __tablename__ = "group_members"

    group_id: Mapped[UUID] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    tenant_id: Mapped[UUID]


class ApiKey(Base):
    """A key that opens the API for one tenant. Only its HMAC is kept; `prefix` is what a person recognises it by.

    user_id: whose key it is, None for a service's; roles: of a service's key, ignored for a user's, which has the
    user's; scopes: permissions that it is cut down to, None: all that the roles give; replaced_by: the key that
    follows it, while both open the door until `expires_at`.
    """

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    roles: Mapped[list[str]] = mapped_column(server_default=text("'{owner}'"))
    scopes: Mapped[list[str] | None]
    expires_at: Mapped[datetime | None]
    replaced_by: Mapped[UUID | None]
    created_by: Mapped[str | None]


class RefreshToken(Base):
    """One link of a login's chain of refresh tokens. It is used once; a second use ends its whole family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        Index("refresh_tokens_of_family", "family"),
        Index("refresh_tokens_of_user", "user_id"),
        Index("refresh_tokens_old", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    family: Mapped[UUID]
    hash: Mapped[bytes] = mapped_column(unique=True)
    issued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    ended_why: Mapped[str | None]
    source: Mapped[str | None]


class OneTimeToken(Base):
    """A token that opens one thing once: a WebSocket, the way back from an OIDC provider, a new password."""

    __tablename__ = "one_time_tokens"
    __table_args__ = (one_of("kind", TOKEN_KINDS, "one_time_tokens"), Index("one_time_tokens_old", "expires_at"))

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    kind: Mapped[str]
    data: Mapped[Any]
    expires_at: Mapped[datetime]


class LoginFailure(Base):
    """Failed logins in a row under one name, whether there is such a user or not, and until when it is locked.

    name_hash: HMAC of tenant and name, so that nobody reads here who tried to enter.
    """

    __tablename__ = "login_failures"

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    name_hash: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    last_at: Mapped[datetime] = mapped_column(server_default=func.now())
    locked_until: Mapped[datetime | None]


class OidcProvider(Base):
    """Where a tenant's users log in instead of here. client_secret: encrypted; role_map: their value -> our role.

    allowed_domains: of e-mail addresses; none: all that the provider vouches for.
    """

    __tablename__ = "oidc_providers"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    issuer: Mapped[str]
    client_id: Mapped[str]
    client_secret: Mapped[bytes | None]
    scopes: Mapped[list[str]] = mapped_column(server_default=text("'{openid,email,profile}'"))
    role_claim: Mapped[str | None]
    role_map: Mapped[Any | None]
    default_roles: Mapped[list[str]] = mapped_column(server_default=text("'{viewer}'"))
    allowed_domains: Mapped[list[str]] = mapped_column(server_default=NO_TEXTS)
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SigningKey(Base):
    """A key pair that signs access tokens, of the whole installation. private: PKCS 8, encrypted; public: its JWK.

    It signs from `signs_from` until another does, and is shown in the JWKS until `shown_until` (None: it signs).
    """

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(primary_key=True)
    public: Mapped[Any]
    private: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    shown_until: Mapped[datetime | None]
