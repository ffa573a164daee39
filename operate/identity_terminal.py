"""What the commands of identity share: they are registered, names become ids, passwords are typed, rows are shown."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import click

from policy.permissions import ROLES

if TYPE_CHECKING:
    from identity.acting import Acting

Json = dict[str, Any]
Command = Callable[..., Any]

PAGE = 1000


class Registered(NamedTuple):
    """A command of a group, as click gets it."""

    group: str
    name: str
    short_help: str
    command: Command


COMMANDS: list[Registered] = []


def command(group: str, name: str, short_help: str) -> Callable[[Command], Command]:
    """Register a command; a database that is not there, or a wrong value, is one line."""

    def register(run: Command) -> Command:
        @functools.wraps(run)
        def told(*args: Any, **values: Any) -> Any:
            import structlog

            from settings import SettingsError, settings
            from storage import outages

            if not structlog.is_configured():  # standard output is the answer's
                structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
            if not settings().database_keeper_url:
                raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
            try:
                return run(*args, **values)
            except outages.DATABASE_AWAY as away:
                raise SettingsError(f"the database does not answer: {outages.first_line(away)}") from None

        COMMANDS.append(Registered(group, name, short_help, told))
        return told

    return register


in_tenant = click.option("--tenant", "tenant", default="default", show_default=True, help="Name of the tenant.")
as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


def roles_option(flag: str, text: str) -> Callable[[Command], Command]:
    """An option that may be repeated, of roles."""
    return click.option(flag, "roles", type=click.Choice(list(ROLES)), multiple=True, help=text)


def tenant_id_of(name: str) -> UUID:
    """The id of the tenant of this name. Raises BadParameter."""
    from storage import tenants

    if name == tenants.DEFAULT_TENANT:
        return tenants.ensure_default_tenant()
    found = tenants.find_tenant(name)
    if found is None:
        raise click.BadParameter(f"there is no tenant {name!r}", param_hint="TENANT")
    return found


def acting_in(tenant: str) -> Acting:
    """Whoever types the command, in a tenant."""
    from identity import acting

    return acting.operator(tenant_id_of(tenant))


def operators() -> Acting:
    """For what concerns the installation: recorded in its own tenant as well."""
    from identity import acting
    from storage import tenants

    return acting.operator(tenants.ensure_default_tenant(), platform=True)


def user_id_of(tenant_id: UUID, email: str) -> UUID:
    """The id of the user with this address. Raises BadParameter."""
    from storage import users

    return _one(users.id_of(tenant_id, email), f"there is no user {email!r}", "EMAIL")


def group_id_of(tenant_id: UUID, name: str) -> UUID:
    """The id of the group of this name. Raises BadParameter."""
    from storage import groups

    return _one(groups.of_name(tenant_id, name), f"there is no group {name!r}", "GROUP")


def key_id_of(tenant_id: UUID, prefix: str) -> UUID:
    """The id of the only live key with this prefix. Raises BadParameter."""
    from storage import api_keys

    found = api_keys.of_prefix(tenant_id, prefix)
    return _one(found[0] if len(found) == 1 else None, f"{len(found)} live keys have the prefix {prefix!r}", "PREFIX")


def _one(found: UUID | None, otherwise: str, where: str) -> UUID:
    if found is None:
        raise click.BadParameter(otherwise, param_hint=where)
    return found


def checked(schema: str, **values: Any) -> Json:
    """The values as the API would take them. Raises BadParameter with the field."""
    from pydantic import ValidationError

    from app.schemas import admin

    try:
        checked: Json = getattr(admin, schema).model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise click.BadParameter(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
    return checked


def json_object(text: str) -> Json:
    """The JSON object that was typed. Raises BadParameter."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise click.BadParameter("a JSON object is expected", param_hint="LIMITS")
    return value


def password_of(from_stdin: bool) -> str:
    """The password: asked for twice, or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))


def every_row(page: Callable[..., Json]) -> Iterable[Json]:
    """The rows of every page."""
    cursor = None
    while True:
        found = page(limit=PAGE, cursor=cursor)
        yield from found["items"]
        cursor = found["next_cursor"]
        if cursor is None:
            return


def show_key(made: Json, as_json: bool) -> None:
    """A new key: alone on its line, or with all that is known of it."""
    if as_json:
        click.echo(json.dumps(made, default=str))
        return
    click.echo(made["key"])


def show(rows: Iterable[Json], names: Sequence[str], as_json: bool) -> None:
    """A line for each row with these fields; as JSON: a list of the whole rows."""
    if as_json:
        click.echo(json.dumps(list(rows), ensure_ascii=False, default=str))
        return
    for row in rows:
        click.echo("  ".join(_plain(row[name]) for name in names))


def _plain(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ",".join(value) if isinstance(value, list) else str(value)
