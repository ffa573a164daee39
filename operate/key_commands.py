"""`manage.py key`: API keys, and the key pairs that sign access tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from operate.identity_terminal import (
    acting_in,
    as_json_option,
    command,
    every_row,
    in_tenant,
    key_id_of,
    roles_option,
    show,
    show_key,
    tenant_id_of,
    user_id_of,
)


@command("key", "create", "Make an API key and print it.")
@click.argument("name")
@click.option("--user", "email", metavar="EMAIL", help="Whose key it is; without: a service's.")
@roles_option("--role", "A role of a service's key (default: service). Repeatable.")
@click.option("--scope", "scopes", multiple=True, help="A permission, or WHAT:*, that it is cut down to. Repeatable.")
@click.option("--days", type=click.IntRange(1, 3660), help="It ends after so many days (default: never).")
@in_tenant
@as_json_option
def key_create(
    name: str,
    email: str | None,
    roles: Sequence[str],
    scopes: Sequence[str],
    days: int | None,
    tenant: str,
    as_json: bool,
) -> None:
    """Make an API key with the label NAME. It is shown once: the database keeps its hash only."""
    from identity import key_management
    from policy.permissions import SERVICE

    if email and roles:
        raise click.BadParameter("are of a service's key: a user's has those of the user", param_hint="--role")
    acting = acting_in(tenant)
    made = key_management.create(
        acting,
        name,
        user_id=user_id_of(acting.tenant_id, email) if email else None,
        roles=list(roles) or [SERVICE],
        scopes=list(scopes) or None,
        expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
    )
    show_key(made, as_json)


@command("key", "list", "List a tenant's API keys.")
@in_tenant
@as_json_option
def key_list(tenant: str, as_json: bool) -> None:
    """List all API keys of the tenant by their prefix, the newest first, those that have ended too."""
    from storage import api_keys

    tenant_id = tenant_id_of(tenant)
    names = ("prefix", "name", "user_id", "roles", "scopes", "last_used_at", "expires_at", "revoked_at")
    show(every_row(functools.partial(api_keys.page, tenant_id)), names, as_json)


@command("key", "rotate", "Replace an API key and print the new one.")
@click.argument("prefix")
@click.option("--overlap-seconds", type=click.IntRange(0, 30 * 24 * 3600), default=3600, show_default=True)
@in_tenant
@as_json_option
def key_rotate(prefix: str, overlap_seconds: int, tenant: str, as_json: bool) -> None:
    """Make a key that may what the key PREFIX may; both are taken until the overlap is over."""
    from identity import key_management

    acting = acting_in(tenant)
    show_key(key_management.rotate(acting, key_id_of(acting.tenant_id, prefix), overlap_seconds), as_json)


@command("key", "revoke", "Revoke an API key.")
@click.argument("prefix")
@in_tenant
def key_revoke(prefix: str, tenant: str) -> None:
    """End the key PREFIX; it opens nothing any more, within 5 s."""
    from identity import key_management

    acting = acting_in(tenant)
    key_management.revoke(acting, key_id_of(acting.tenant_id, prefix))
    click.echo(f"{prefix} is revoked")


@command("key", "rotate-signing", "Make a new key pair for access tokens.")
@click.option("--at-once", is_flag=True, help="The old ones may be known to others: what they signed ends at once.")
def key_rotate_signing(at_once: bool) -> None:
    """Make a new key pair that signs access tokens; the old one is shown in the JWKS until its last token has expired.
    It is done by itself every BATON_SIGNING_KEY_DAYS.
    """
    from identity import signing

    kid = signing.rotate(datetime.now(UTC), at_once=at_once)
    click.echo(f"{kid} signs {'now' if at_once else f'in {signing.OVERLAP.seconds // 60} minutes'}")
