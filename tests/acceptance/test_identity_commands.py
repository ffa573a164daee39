"""`manage.py tenant`, `user`, `group` and `key`: what they make opens the door, and what they end does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from errors import BatonError, InvalidCredentials, LastOwner, OwnTenant
from identity import access_tokens, acting, keys, login
from identity.caller import Caller
from manage import cli
from settings import Settings
from storage import signing_keys, tenants
from storage.tables import uuid7
from tests.acceptance.house import ROOT, clean_environment
from tests.conftest import Servers

PASSWORD = "correct battery staple"
Run = Callable[..., Result]


@pytest.fixture
def manage(settings_env: Settings) -> Run:
    """Run a command in this process, which knows the tests' servers."""

    def run(*args: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(args), input=typed)

    return run


@pytest.fixture
def name(manage: Run) -> str:
    """A fresh tenant, made by the command."""
    made = f"acme-{uuid7()}"
    assert manage("tenant", "create", made).exit_code == 0
    return made


def done(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def enter(tenant: str, email: str, password: str = PASSWORD) -> Any:
    return login.by_password(tenant, email, password, Caller(), datetime.now(UTC))


def principal(tokens: Any) -> Any:
    return access_tokens.principal(access_tokens.verify(tokens.access_token, datetime.now(UTC)))


def refused(result: Result, error: type[BatonError]) -> None:
    assert result.exit_code == 1 and isinstance(result.exception, error), result.output


def test_a_users_life_at_the_terminal(manage: Run, name: str) -> None:
    # Given an owner, whose password was typed twice
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    made = manage("user", "create", "ada@example.com", "--role", "owner", "--tenant", name, typed=typed)
    assert "ada@example.com" in done(made) and PASSWORD not in made.output
    tokens = enter(name, "ada@example.com")
    assert principal(tokens).roles == {"owner"}
    # Then the last owner is neither disabled nor demoted
    refused(manage("user", "disable", "ada@example.com", "--tenant", name), LastOwner)
    refused(manage("user", "roles", "ada@example.com", "viewer", "--tenant", name), LastOwner)
    # When there is another, whose password came by standard input
    bob = ("bob@example.com", "--tenant", name)
    done(manage("user", "create", *bob, "--name", "Bob", "--role", "owner", "--password-stdin", typed=f"{PASSWORD}\n"))
    done(manage("user", "roles", "ada@example.com", "viewer", "approver", "--tenant", name))
    assert principal(tokens).roles == {"viewer", "approver"}
    # And a new password ends the old logins
    done(manage("user", "password", "ada@example.com", "--tenant", name, "--password-stdin", typed="another staple!\n"))
    assert principal(tokens) is None
    with pytest.raises(InvalidCredentials):
        enter(name, "ada@example.com")
    tokens = enter(name, "ada@example.com", "another staple!")
    done(manage("user", "disable", "ada@example.com", "--tenant", name))
    assert principal(tokens) is None
    rows = {row["email"]: row for row in json.loads(done(manage("user", "list", "--tenant", name, "--json")))}
    assert (rows["ada@example.com"]["status"], rows["bob@example.com"]["name"]) == ("disabled", "Bob")
    done(manage("user", "enable", "ada@example.com", "--tenant", name))
    assert principal(enter(name, "ada@example.com", "another staple!")) is not None


def test_a_group_gives_its_roles(manage: Run, name: str) -> None:
    done(manage("user", "create", "ada@example.com", "--tenant", name, "--password-stdin", typed=PASSWORD))
    done(manage("group", "create", "ops", "--role", "operator", "--tenant", name))
    done(manage("group", "add", "ops", "ADA@example.com", "--tenant", name))
    tokens = enter(name, "ada@example.com")
    assert (principal(tokens).roles, principal(tokens).groups) == ({"operator"}, {"ops"})
    assert "operator  1" in done(manage("group", "list", "--tenant", name))
    done(manage("group", "remove", "ops", "ada@example.com", "--tenant", name))
    assert principal(tokens).roles == set()


def test_keys_are_made_listed_rotated_and_revoked(manage: Run, name: str) -> None:
    key = done(manage("key", "create", "worker", "--role", "viewer", "--days", "30", "--tenant", name))
    found = keys.authenticate(key)
    assert found is not None and found.roles == {"viewer"} and found.tenant_id == tenants.find_tenant(name)
    prefix = key.split("_")[1]
    listed = manage("key", "list", "--tenant", name)
    assert prefix in done(listed) and key not in listed.output
    # When it is rotated without an overlap, Then its successor opens the door
    new = done(manage("key", "rotate", prefix, "--overlap-seconds", "0", "--tenant", name))
    assert keys.authenticate(key) is None and keys.authenticate(new) is not None
    done(manage("key", "revoke", new.split("_")[1], "--tenant", name))
    assert keys.authenticate(new) is None
    # And a user's key may what the user may, cut down
    done(manage("user", "create", "ada@example.com", "--role", "developer", "--no-password", "--tenant", name))
    cut = ("--user", "ada@example.com", "--scope", "runs:*", "--tenant", name)
    theirs = keys.authenticate(done(manage("key", "create", "laptop", *cut)))
    assert theirs is not None and theirs.permissions == {"runs:read", "runs:start", "runs:steer", "runs:answer"}


def test_a_tenant_is_suspended_activated_and_given_limits(manage: Run, name: str) -> None:
    key = done(manage("key", "create", "worker", "--tenant", name))
    done(manage("tenant", "suspend", name))
    assert keys.authenticate(key) is None
    done(manage("tenant", "activate", name))
    assert keys.authenticate(key) is not None
    done(manage("tenant", "plan", name, "starter", "--weight", "3"))
    shown = done(manage("tenant", "limits", name, '{"max_sessions": 7}'))
    assert "max_sessions           7" in shown and "weight                 3" in shown
    row = next(row for row in json.loads(done(manage("tenant", "list", "--json"))) if row["name"] == name)
    assert (row["plan"], row["limits"]) == ("starter", {"max_sessions": 7})
    assert "max_sessions           7" not in done(manage("tenant", "limits", name, "--clear"))
    refused(manage("tenant", "suspend", "default"), OwnTenant)


def test_signing_keys_are_rotated(manage: Run, settings_env: Settings) -> None:
    kid = done(manage("key", "rotate-signing")).split()[0]
    assert kid in [row.kid for row in signing_keys.shown(datetime.now(UTC))]


def test_it_is_recorded_who_typed_it(manage: Run, name: str, servers: Servers) -> None:
    done(manage("key", "create", "worker", "--tenant", name))
    with psycopg2.connect(servers.owner_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT actor, action FROM audit_logs WHERE tenant_id = %s ORDER BY seq", (tenants.find_tenant(name),)
        )
        rows = cursor.fetchall()
    connection.close()
    assert [action for _, action in rows] == ["tenant.create", "key.create"]
    assert {actor for actor, _ in rows} == {acting.operator(tenants.ensure_default_tenant()).principal.actor}
    assert rows[0][0].startswith("system:manage.py ")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("tenant", "create", "a/b"), "name"),
        (("tenant", "plan", "default", "gold"), "plan"),
        (("tenant", "limits", "default", "[]"), "JSON object"),
        (("tenant", "suspend", "nobody"), "no tenant"),
        (("user", "create", "ada", "--no-password"), "email"),
        (("user", "disable", "nobody@example.com"), "no user"),
        (("user", "roles", "nobody@example.com", "root"), "no user"),
        (("group", "add", "nobody", "a@b.c"), "no group"),
        (("key", "revoke", "00000000"), "0 live keys"),
        (("key", "create", "x", "--user", "a@b.c", "--role", "viewer"), "service's key"),
    ],
)
def test_what_is_wrong_is_told(command: tuple[str, ...], told: str, manage: Run) -> None:
    result = manage(*command)
    assert result.exit_code == 2 and told in result.output


def test_the_real_command_tells_an_error_in_a_line(servers: Servers, settings_env: Settings) -> None:
    command = [sys.executable, str(ROOT / "manage.py"), "tenant", "suspend", "default"]
    environment = clean_environment(**servers.environment())
    tenants.ensure_default_tenant()
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-1].startswith("error: This is the installation's own tenant")
