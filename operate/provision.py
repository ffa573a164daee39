"""Brings the database to this version and makes the default tenant's first key: `up` runs it before the processes."""

from __future__ import annotations

import sys

from identity import keys
from operate.instance import Instance
from settings import settings
from storage import migrate, outages, tenants


def main() -> int:
    """Exit code 0: tables, roles, tenant and `<data-dir>/api_key` are there; else the reason stands on stderr."""
    known = settings()
    try:
        migrate.migrate(known.database_url, known.database_app_url, known.database_keeper_url)
    except migrate.MigrationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except outages.DATABASE_AWAY as away:
        print(f"error: the database of DATABASE_URL does not answer: {outages.first_line(away)}", file=sys.stderr)
        return 4
    instance = Instance(known.data_dir)
    kept = instance.folder / "api_key"
    if not kept.exists() or keys.authenticate(kept.read_text().strip()) is None:
        key = tenants.create_api_key(tenants.ensure_default_tenant(), "up")
        instance.write("api_key", key)
    return 0


if __name__ == "__main__":
    sys.exit(main())
