"""`manage.py migrate` and `doctor`: steps of their own for production."""

from __future__ import annotations

import importlib
import importlib.util
import sys
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

    known = settings()
    if not known.database_url:
        raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
    try:
        schema.migrate(known.database_url, *role_urls(known))
    except schema.MigrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"the database {urlsplit(known.database_url).path.lstrip('/')} has the schema of this version")
    return 0


def doctor(*, dry_run: bool) -> int:
    """Let chains/doctor.py look after runs whose chain version left the code. Exit code 1: a person is needed."""
    if importlib.util.find_spec("chains.doctor") is None:
        print("nothing to look after in this version")
        return 0
    found = importlib.import_module("chains.doctor")
    return int(found.main(dry_run=dry_run) or 0)
