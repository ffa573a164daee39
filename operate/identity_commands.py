"""`manage.py tenant`, `user`, `group` and `key`: who may enter, from the terminal of whoever runs the installation.

The same rules and entries of the record as in the API (`identity/`), in the name of the system's user. Passwords are
typed or come by standard input, never as an argument, which others on the machine could read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import click

from operate import key_commands as key_commands  # registers its commands
from operate.identity_terminal import (
    COMMANDS,
    Command,
    acting_in,
    as_json_option,
    checked,
    command,
    every_row,
    group_id_of,
    in_tenant,
    json_object,
    operators,
    password_of,
    password_stdin,
    roles_option,
    show,
    tenant_id_of,
    user_id_of,
)

WithDataDir = Callable[[Command], Command]

GROUPS = {
    "tenant": "Tenants: make, list, suspend, plan, limits.",
    "user": "Users: make, list, disable, password, roles.",
    "group": "Groups: make, list, members.",
    "key": "API keys: make, list, rotate, revoke.",
}


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the groups of commands, each command with `--data-dir`."""
    groups = {name: click.Group(name=name, short_help=text, help=text) for name, text in GROUPS.items()}
    for one in COMMANDS:
        groups[one.group].command(name=one.name, short_help=one.short_help)(with_data_dir(one.command))
    for made in groups.values():
        cli.add_command(made)


@command("tenant", "create", "Make a tenant.")
@click.argument("name")
@click.option("--plan", default="unlimited", show_default=True, help="Its plan.")
@click.option("--weight", type=click.IntRange(1, 1000), help="Its share of free slots (default: its plan's).")
@as_json_option
def tenant_create(name: str, plan: str, weight: int | None, as_json: bool) -> None:
    """Make the tenant NAME. `user create --tenant NAME --role owner` makes its first user."""
    from identity import tenants

    made = tenants.create(operators(), checked("NewTenant", name=name, plan=plan, weight=weight))
    show([made], ("id", "name", "plan"), as_json)


@command("tenant", "list", "List the tenants.")
@as_json_option
def tenant_list(as_json: bool) -> None:
    """List all tenants, the newest first."""
    from storage import tenant_records

    show(every_row(tenant_records.page), ("id", "name", "status", "plan", "weight", "limits"), as_json)


@command("tenant", "suspend", "Close a tenant.")
@click.argument("name")
def tenant_suspend(name: str) -> None:
    """Close the tenant NAME within 5 s: its keys, tokens and logins open nothing. What runs goes on to its end."""
    _change_tenant(name, status="suspended")


@command("tenant", "activate", "Open a suspended tenant again.")
@click.argument("name")
def tenant_activate(name: str) -> None:
    """Open the tenant NAME again."""
    _change_tenant(name, status="active")


@command("tenant", "plan", "Give a tenant a plan.")
@click.argument("name")
@click.argument("plan")
@click.option("--weight", type=click.IntRange(1, 1000), help="Its share of free slots (default: the plan's).")
def tenant_plan(name: str, plan: str, weight: int | None) -> None:
    """Give the tenant NAME the plan PLAN: unlimited, starter, professional or enterprise."""
    _change_tenant(name, plan=plan, **({} if weight is None else {"weight": weight}))


@command("tenant", "limits", "Show or set where a tenant differs from its plan.")
@click.argument("name")
@click.argument("limits", required=False)
@click.option("--clear", is_flag=True, help="It has its plan's limits again.")
def tenant_limits(name: str, limits: str | None, clear: bool) -> None:
    """Show the limits of the tenant NAME, or set where they differ from its plan: LIMITS is a JSON object, such as
    '{"max_sessions": 500, "burst": -1}' (-1: no limit), and takes the place of what was there.
    """
    from policy import tenant_limits as effective

    if limits is not None or clear:
        _change_tenant(name, limits=None if clear else json_object(limits or ""))
    tenant_id = tenant_id_of(name)
    current = effective.of(tenant_id)
    for field, value in vars(current).items():
        click.echo(f"{field:<22} {'no limit' if value is None else value}")


# ------------------------------------------------------------------------------------------------------------- users


@command("user", "create", "Make a user.")
@click.argument("email")
@click.option("--name", help="The person's name (default: the address).")
@roles_option("--role", "A role of the user. Repeatable.")
@password_stdin
@click.option("--no-password", is_flag=True, help="The user logs in by the tenant's login provider alone.")
@in_tenant
@as_json_option
def user_create(
    email: str,
    name: str | None,
    roles: Sequence[str],
    password_stdin: bool,
    no_password: bool,
    tenant: str,
    as_json: bool,
) -> None:
    """Make the user EMAIL. The password is asked for."""
    from identity import users

    values = checked("NewUser", email=email, name=name or email, roles=list(roles))
    acting = acting_in(tenant)
    password = None if no_password else password_of(password_stdin)
    made = users.create(acting, values["email"], values["name"], values["roles"], password)
    show([made], ("id", "email", "roles"), as_json)


@command("user", "list", "List a tenant's users.")
@in_tenant
@as_json_option
def user_list(tenant: str, as_json: bool) -> None:
    """List all users of the tenant, the newest first."""
    from storage import users

    tenant_id = tenant_id_of(tenant)
    found = every_row(functools.partial(users.page, tenant_id))
    show(found, ("id", "email", "name", "roles", "groups", "status", "last_login_at"), as_json)


@command("user", "disable", "Disable a user.")
@click.argument("email")
@in_tenant
def user_disable(email: str, tenant: str) -> None:
    """Disable the user EMAIL; their logins and keys end at once."""
    _change_user(email, tenant, status="disabled")


@command("user", "enable", "Enable a disabled user.")
@click.argument("email")
@in_tenant
def user_enable(email: str, tenant: str) -> None:
    """Let the user EMAIL log in again. Keys that ended with the disabling stay ended."""
    _change_user(email, tenant, status="active")


@command("user", "password", "Set a user's password.")
@click.argument("email")
@password_stdin
@in_tenant
def user_password(email: str, password_stdin: bool, tenant: str) -> None:
    """Give the user EMAIL another password, which is asked for; all their logins end."""
    from identity import users

    acting = acting_in(tenant)
    user_id = user_id_of(acting.tenant_id, email)
    users.set_password(acting, user_id, password_of(password_stdin))
    click.echo(f"{email} has the new password")


@command("user", "roles", "Set a user's roles.")
@click.argument("email")
@click.argument("roles", nargs=-1)
@in_tenant
def user_roles(email: str, roles: Sequence[str], tenant: str) -> None:
    """Give the user EMAIL these ROLES and no others; those of groups stay."""
    _change_user(email, tenant, roles=list(roles))


# ------------------------------------------------------------------------------------------------------------ groups


@command("group", "create", "Make a group.")
@click.argument("name")
@roles_option("--role", "A role of its members. Repeatable.")
@in_tenant
@as_json_option
def group_create(name: str, roles: Sequence[str], tenant: str, as_json: bool) -> None:
    """Make the group NAME."""
    from identity import groups

    values = checked("NewGroup", name=name, roles=list(roles))
    show([groups.create(acting_in(tenant), values["name"], values["roles"])], ("id", "name", "roles"), as_json)


@command("group", "list", "List a tenant's groups.")
@in_tenant
@as_json_option
def group_list(tenant: str, as_json: bool) -> None:
    """List all groups of the tenant, the newest first."""
    from storage import groups

    tenant_id = tenant_id_of(tenant)
    show(every_row(functools.partial(groups.page, tenant_id)), ("id", "name", "roles", "members"), as_json)


@command("group", "add", "Put a user into a group.")
@click.argument("group")
@click.argument("email")
@in_tenant
def group_add(group: str, email: str, tenant: str) -> None:
    """Put the user EMAIL into GROUP."""
    from identity import groups

    acting = acting_in(tenant)
    groups.put_member(acting, group_id_of(acting.tenant_id, group), user_id_of(acting.tenant_id, email))
    click.echo(f"{email} is in {group}")


@command("group", "remove", "Take a user out of a group.")
@click.argument("group")
@click.argument("email")
@in_tenant
def group_remove(group: str, email: str, tenant: str) -> None:
    """Take the user EMAIL out of GROUP."""
    from identity import groups

    acting = acting_in(tenant)
    groups.remove_member(acting, group_id_of(acting.tenant_id, group), user_id_of(acting.tenant_id, email))
    click.echo(f"{email} is not in {group}")


def _change_tenant(name: str, **values: Any) -> None:
    from identity import tenants

    changed = tenants.change(operators(), tenant_id_of(name), checked("TenantChanges", **values))
    click.echo(f"{name} is {changed['status']}, plan {changed['plan']}, weight {changed['weight']}")


def _change_user(email: str, tenant: str, **values: Any) -> None:
    from identity import users

    acting = acting_in(tenant)
    changed = users.change(acting, user_id_of(acting.tenant_id, email), checked("UserChanges", **values))
    click.echo(f"{email} is {changed['status']}, roles: {', '.join(changed['roles']) or 'none'}")
