"""`manage.py migrate` and `doctor`: steps of their own for production."""

from __future__ import annotations

import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from operate import environment
from settings import Settings, SettingsError, settings


def role_urls(known: Settings) -> tuple[str, str]:
    """The URLs of the application's and the keeper's role: the named ones, else the same that `up` works out."""
    secret = known.secret.get_secret_value()
    named = (known.database_app_url, known.database_keeper_url)
    if not all(named) and not secret:
        raise SettingsError("set BATON_DATABASE_APP_URL and BATON_DATABASE_KEEPER_URL, or BATON_SECRET to derive them")
    app, keeper = (
        url or environment.role_url(known.database_url, role, secret)
        for url, role in zip(named, ("app", "keeper"), strict=True)
    )
    return app, keeper


def migrate() -> int:
    """Bring the database of DATABASE_URL to this version. Exit code 1: it could not be done, and why is said."""
    from storage import migrate as schema
    from storage import outages

    known = settings()
    if not known.database_url:
        raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
    try:
        schema.migrate(known.database_url, *role_urls(known))
    except schema.MigrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except outages.DATABASE_AWAY as away:
        print(f"error: the database of DATABASE_URL does not answer: {outages.first_line(away)}", file=sys.stderr)
        return 1
    print(f"the database {urlsplit(known.database_url).path.lstrip('/')} has the schema of this version")
    return 0


def new_api_key(name: str) -> str:
    """A new API key of the tenant `default`, in plain text."""
    from storage import tenants

    return tenants.create_api_key(tenants.ensure_default_tenant(), name)


def doctor(*, dry_run: bool) -> int:
    """Say whether the models file is right and the servers answer, and move or set aside the runs whose chain version
    has left the code.

    dry_run: only tell. Exit code 1: one of them is not, or a run was set aside and needs a person.
    """
    from chains.doctor import stranded
    from storage.reads.readiness import look_at_postgres, look_at_redis

    looks = (look_at_models_file, look_at_postgres, look_at_redis)
    complaints = [line for line in map(_complaint, looks) if line]
    for complaint in complaints:
        print(complaint)
    if complaints:
        return 1
    print("postgres and redis: answer, the schema is whole")
    found = stranded(apply=not dry_run)
    for one in found:
        fate = f"goes on with {one.to}" if one.to else "set aside: no version in the code fits what it has done"
        print(f"{one.run_id}  {one.chain}@{one.version}  {fate}{' (dry run)' if dry_run else ''}")
    print(f"runs whose chain version has left the code: {len(found)}")
    return 1 if any(one.to is None for one in found) else 0


def look_at_models_file() -> None:
    """Read the models file, where there is one. Raises InvalidModelsFile."""
    from gateway.backends.configuration import configuration

    configuration()


def _complaint(look: Callable[[], object]) -> str | None:
    """What is wrong with a server, in a line, or with the models file, in a line for each mistake."""
    try:
        look()
    except Exception as error:
        return f"{look.__name__.removeprefix('look_at_')}: {str(error).strip() or type(error).__name__}"
    return None
