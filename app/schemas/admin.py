"""Administration: what can be said of users, groups, keys, tenants and login providers, and how they are shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from app.schemas.common import In, Moment, Name, Out, Page, PageQuery, Time

Role = Literal["owner", "admin", "developer", "operator", "approver", "viewer", "service"]
UserStatus = Literal["active", "disabled"]
TenantStatus = Literal["active", "suspended"]
Plan = Literal["unlimited", "starter", "professional", "enterprise"]


def _email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    if not local or not domain or not value.isprintable() or set(value) & set(' ,;<>"'):
        raise ValueError("must be an e-mail address")
    return value


def _domain(value: str) -> str:
    if "@" in value or not value.isprintable() or " " in value:
        raise ValueError("must be a domain, such as example.com")
    return value


def _viewer() -> list[Role]:
    return ["viewer"]


def _no_twins(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


Email = Annotated[str, Field(min_length=3, max_length=320), AfterValidator(_email)]
Roles = Annotated[list[Role], Field(max_length=7), AfterValidator(_no_twins)]
Scopes = Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100), AfterValidator(_no_twins)]
Domains = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_domain)]], Field(max_length=100)
]
TenantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Password = Annotated[SecretStr, Field(max_length=1000, description="12 to 256 characters")]
MORE = "permissions, or `<what>:*`, that it is cut down to; null: all that its roles give"


class NewUser(In):
    """A person to make. Without a password they log in by the tenant's login provider alone."""

    email: Email
    name: Name
    roles: Roles = Field(default_factory=list, description="given to the person; those of groups come on top")
    password: Password | None = None


class UserChanges(In):
    """The fields of a user that are to change. `disabled` ends the user's logins and keys at once."""

    email: Email = Field(default_factory=str)
    name: Name = Field(default_factory=str)
    roles: Roles = Field(default_factory=list)
    status: UserStatus = "active"


class NewPassword(In):
    """A password for somebody else; all their logins end."""

    password: Password


class User(Out):
    """A person of the tenant. groups: by name."""

    id: UUID
    email: str
    name: str
    roles: list[Role]
    groups: list[str]
    status: UserStatus
    external_issuer: str | None = Field(description="the OIDC provider that the user comes from")
    created_at: Time
    updated_at: Time
    last_login_at: Time | None


class UsersQuery(PageQuery):
    """Which users."""

    q: str | None = Field(None, max_length=320, description="part of an address or a name")
    status: UserStatus | None = None


class NewGroup(In):
    """A group to make. Its roles are its members'."""

    name: Name
    roles: Roles = Field(default_factory=list)


class GroupChanges(In):
    """The fields of a group that are to change."""

    name: Name = Field(default_factory=str)
    roles: Roles = Field(default_factory=list)


class Group(Out):
    """A group. members: how many."""

    id: UUID
    name: str
    roles: list[Role]
    members: int
    created_at: Time


class NewOwnKey(In):
    """A key of one's own: it may what its user may."""

    name: Name
    scopes: Scopes | None = Field(None, description=MORE)
    expires_at: Moment | None = None


class NewKey(NewOwnKey):
    """A key of a user, or of a service, which has roles of its own."""

    user_id: UUID | None = Field(None, description="whose key it is; null: a service's")
    roles: Roles = Field(default_factory=list, description="of a service's key; none: `service`")


class Rotation(In):
    """How a key is replaced."""

    overlap_seconds: int = Field(3600, ge=0, le=30 * 24 * 3600, description="both keys are taken for so long")


class Key(Out):
    """An API key, by its prefix. The key itself is not kept."""

    id: UUID
    name: str
    prefix: str
    user_id: UUID | None
    roles: list[Role]
    scopes: list[str] | None
    created_at: Time
    created_by: str | None
    last_used_at: Time | None
    expires_at: Time | None
    revoked_at: Time | None
    replaced_by: UUID | None = Field(description="the key that follows it")


class MadeKey(Key):
    """A key that was just made: the only answer that shows it."""

    key: str


class KeysQuery(PageQuery):
    """Which keys."""

    user_id: UUID | None = Field(None, description="only this user's")


class FirstOwner(In):
    """The first user of a new tenant."""

    email: Email
    name: Name
    password: Password


class NewTenant(In):
    """A tenant to make, with its first owner if one is named."""

    name: TenantName
    plan: Plan = "unlimited"
    limits: dict[str, Any] | None = Field(None, description="where it differs from its plan; -1: no limit")
    weight: int | None = Field(
        None, ge=1, le=1000, description="its share where tenants wait for free slots; null: its plan's"
    )
    owner: FirstOwner | None = None


class TenantChanges(In):
    """The fields of a tenant that are to change. A plan without a weight brings its own weight. A suspended tenant is
    closed within 5 s; what runs goes on.
    """

    status: TenantStatus = "active"
    plan: Plan = "unlimited"
    limits: dict[str, Any] | None = None
    weight: int = Field(1, ge=1, le=1000)


class Tenant(Out):
    """A tenant of the installation."""

    id: UUID
    name: str
    status: TenantStatus
    plan: Plan
    limits: dict[str, Any] | None
    weight: int
    created_at: Time


class TenantsQuery(PageQuery):
    """Which tenants."""

    status: TenantStatus | None = None


class OidcProviderFields(In):
    """Where the tenant's users log in. Their first login makes the user, with `default_roles` or those of the map."""

    issuer: str = Field(min_length=1, max_length=2000, description="exactly as its ID tokens say it in `iss`")
    client_id: Name
    scopes: Annotated[list[Name], Field(max_length=20)] = Field(default_factory=lambda: ["openid", "email", "profile"])
    role_claim: Name | None = Field(None, description="claim that tells roles, or its path (`realm_access.roles`)")
    role_map: dict[str, Role] | None = Field(
        None, max_length=100, description="value of the claim -> role; at each login"
    )
    default_roles: Roles = Field(default_factory=_viewer)
    allowed_domains: Domains = Field(default_factory=list, description="of addresses; none: all that it vouches for")
    enabled: bool = True


class NewOidcProvider(OidcProviderFields):
    """The provider to put in place of the one that there is."""

    client_secret: Annotated[SecretStr, Field(min_length=1, max_length=1000)] | None = Field(
        None, description="null keeps the one of the same issuer and client, if there is one"
    )


class OidcProvider(OidcProviderFields):
    """The tenant's login provider; the secret is not shown."""

    has_client_secret: bool
    updated_at: Time


class OidcStart(In):
    """How a login at the provider begins."""

    next: str | None = Field(
        None, max_length=2000, description="where the browser goes with its login, of listed origins"
    )


class OidcBack(In):
    """What the provider sends back; further fields are its own matter."""

    model_config = In.model_config | {"extra": "ignore"}

    state: str | None = Field(None, max_length=200)
    code: str | None = Field(None, max_length=4096)
    error: str | None = Field(None, max_length=200)
    iss: str | None = Field(None, max_length=2000)


class OidcCode(In):
    """The code that came with the browser to `next`."""

    code: str = Field(max_length=200)


UserPage = Page[User]
GroupPage = Page[Group]
KeyPage = Page[Key]
TenantPage = Page[Tenant]
