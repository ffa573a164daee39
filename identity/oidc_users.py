"""What an OIDC provider's word is worth: which user of the tenant has logged in there, and with which roles.

Somebody is known by issuer and subject. An address alone makes nobody somebody else: a user who is here already is
linked once, and only where the provider has verified the address, the tenant lists its domain, and the user is neither
linked elsewhere nor an owner (an administrator could choose a provider that vouches for the owner's address).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from errors import Forbidden
from identity.acting import Record, take_effect
from identity.caller import Caller
from identity.users import TOLD, roles_of, told_of
from policy.permissions import OWNER, ROLES
from storage import audit, directory, users
from storage.identity_tables import OidcProvider, User

MAX_NAME_CHARACTERS = 200
ACTOR = "system:oidc"  # who makes and links users here


def enter(provider: OidcProvider, claims: Mapping[str, Any], caller: Caller) -> UUID:
    """The id of the user that these claims name, made at the first login, with the roles that the claims give.

    Raises Forbidden, which says why: they have proved who they are.
    """
    tenant_id, record = provider.tenant_id, partial(caller.entry, ACTOR)
    with directory.change(tenant_id, proofs=True) as db:
        user = users.of_subject(db, tenant_id, provider.issuer, claims["sub"])
        if user is None:
            user = _linked(db, provider, claims, record) or _made(db, provider, claims, record)
        if user.status != "active":
            raise Forbidden("This user is disabled.")
        changed = _take_roles(db, user, provider, claims, record)
    if changed:
        take_effect()
    return user.id


def roles_for(provider: OidcProvider, claims: Mapping[str, Any]) -> list[str] | None:
    """The roles that the claims give by the provider's map, else its default roles; None: there is no map."""
    if provider.role_claim is None or not provider.role_map:
        return None
    given = _claim(claims, provider.role_claim)
    values = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    mapped = {provider.role_map[value] for value in values if isinstance(value, str) and value in provider.role_map}
    return [role for role in ROLES if role in (mapped or provider.default_roles)]


def _linked(db: Session, provider: OidcProvider, claims: Mapping[str, Any], record: Record) -> User | None:
    """The user with the verified address, linked to the subject from now on; None: there is none with it."""
    email = _verified_email(provider, claims)
    user = users.of_email(db, provider.tenant_id, email)
    if user is None:
        return None
    groups = users.groups_of(db, provider.tenant_id, [user.id])[user.id]
    listed = _domain(email) in map(str.lower, provider.allowed_domains)
    same = user.email.lower() == email.lower()  # to be compared they are folded: ß is ss there, and another mailbox
    if not listed or not same or user.external_subject is not None or OWNER in roles_of(user, groups):
        raise Forbidden("Another user of this tenant has your address: ask an administrator.")
    users.write(db, user, {"external_issuer": provider.issuer, "external_subject": claims["sub"]})
    after = {"external_issuer": provider.issuer, "external_subject": claims["sub"]}
    audit.write(db, record("user.link", f"user:{user.id}", after=told_of(after, after)))
    return user


def _made(db: Session, provider: OidcProvider, claims: Mapping[str, Any], record: Record) -> User:
    email = _verified_email(provider, claims)
    name = claims.get("name")
    name = name if isinstance(name, str) and name.isprintable() and name.strip() else email
    roles = roles_for(provider, claims)
    values = {
        "email": email,
        "name": name[:MAX_NAME_CHARACTERS],
        "roles": list(provider.default_roles) if roles is None else roles,
        "external_issuer": provider.issuer,
        "external_subject": claims["sub"],
    }
    user = users.add(db, provider.tenant_id, values)
    audit.write(db, record("user.create", f"user:{user.id}", after=told_of(users.public(user, []), TOLD)))
    return user


def _take_roles(db: Session, user: User, provider: OidcProvider, claims: Mapping[str, Any], record: Record) -> bool:
    """What the provider says of roles holds from this login on; whether that is new."""
    roles = roles_for(provider, claims)
    if roles is None:
        return False
    if OWNER in user.roles and OWNER not in roles and _stays_owner(db, provider):
        roles = [OWNER, *roles]
    if set(roles) == set(user.roles):
        return False
    before = {"roles": list(user.roles)}
    users.write(db, user, {"roles": roles})
    audit.write(db, record("user.change", f"user:{user.id}", before=before, after={"roles": roles}))
    return True


def _stays_owner(db: Session, provider: OidcProvider) -> bool:
    """Whether an owner whom the claims do not call one stays one: the last one does, and all do where the map makes
    no owners. Only an owner can have written one that does; by another an administrator would unmake owners.
    """
    makes_owners = OWNER in {*(provider.role_map or {}).values(), *provider.default_roles}
    return not makes_owners or directory.owners(db, provider.tenant_id) == 1


def _verified_email(provider: OidcProvider, claims: Mapping[str, Any]) -> str:
    """Raises Forbidden where there is none, the provider does not vouch for it, or its domain is not the tenant's."""
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True or not _domain(email):
        raise Forbidden("The login provider has not verified your e-mail address.")
    if provider.allowed_domains and _domain(email) not in map(str.lower, provider.allowed_domains):
        raise Forbidden("Your e-mail address is in none of this tenant's domains.")
    return email


def _domain(email: str) -> str:
    """The part after the last @, in small letters; "" where it is no address."""
    local, _, domain = email.rpartition("@")
    return domain.lower() if local and domain and email.isprintable() and len(email) <= 320 else ""


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the path of names in it (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
