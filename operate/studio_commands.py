"""`manage.py seed` and `manage.py import`: creators and products, straight into the database."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from uuid import UUID

    from storage.catalog_import import Report

T = TypeVar("T")
WithDataDir = Callable[[Callable[..., Any]], Callable[..., Any]]
SHOWN_ERRORS = 50


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the commands to the group, each with `--data-dir`."""
    seed_text = "Put the demo's creators and products into the default tenant."
    cli.command(name="seed", short_help=seed_text)(with_data_dir(seed))
    group = click.Group(
        name="import",
        short_help="Import creators or products from a CSV file.",
        help="Write the good lines of a CSV file, and tell what is wrong with the others.",
    )
    for what in ("creators", "products"):
        short_help = f"Import {what}; the first line names the fields."
        group.command(name=what, short_help=short_help)(with_data_dir(_import_of(what)))
    cli.add_command(group)


def seed() -> None:
    """Put the built-in creators and products into the tenant `default`. What is there by its name or SKU stays as it
    is, so the command may be repeated.
    """
    from agents.script.data import load
    from app.bulk_import import MODELS
    from identity.acting import operator
    from storage import catalog_import, tenants
    from storage.catalog_import import Record

    tenant_id = _database(tenants.ensure_default_tenant)
    for what, (kind, model) in MODELS.items():
        rows = load("seed_set")[what]
        values = [model.model_validate(row).model_dump(exclude_unset=True) for row in rows]
        records = [Record(number, row) for number, row in enumerate(values, 1)]
        record = partial(operator(tenant_id).record, f"{kind.word}.import")
        made = catalog_import.write(tenant_id, kind, records, only_new=True, record=record)["imported"]
        click.echo(f"{what}: {made} new, {len(rows) - made} there already")


def _import_of(what: str) -> Callable[..., None]:
    @click.argument("file", type=click.File("rb"))
    @click.option("--tenant", "tenant_name", default="default", show_default=True, help="Name of the tenant.")
    @click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
    @click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
    def import_file(file: IO[bytes], tenant_name: str, dry_run: bool, as_json: bool) -> None:
        from app.bulk_import import import_csv
        from identity.acting import operator

        tenant_id, raw = _tenant(tenant_name), _read(file)
        record = partial(operator(tenant_id).record, f"{what.removesuffix('s')}.import")
        report = _database(lambda: import_csv(tenant_id, what, raw, dry_run=dry_run, record=record))
        _show(report, as_json, dry_run)
        sys.exit(1 if report["failed"] else 0)

    codes = {"creators": "external_id", "products": "sku"}
    import_file.__doc__ = (
        f"Write the good lines of FILE (`-`: standard input), as `POST /api/v1/{what}/import` does: a line changes "
        f"what has its {codes[what]}, else its name, or is new. Exit code 1: lines were refused, and why is said."
    )
    return import_file


def _read(file: IO[bytes]) -> bytes:
    from settings import settings

    most = settings().max_body_bytes
    raw = file.read(most + 1)
    if len(raw) > most:
        raise click.BadParameter(f"is larger than {most} bytes: import it in parts", param_hint="FILE")
    return raw


def _tenant(name: str) -> UUID:
    from storage import tenants

    if name == tenants.DEFAULT_TENANT:
        return _database(tenants.ensure_default_tenant)
    found = _database(lambda: tenants.find_tenant(name))
    if found is None:
        raise click.BadParameter(f"there is no tenant {name!r}", param_hint="--tenant")
    return found


def _database(call: Callable[[], T]) -> T:
    """What the call answers; a database that is not there is one line."""
    from settings import SettingsError
    from storage import catalog, outages

    if not catalog.there():
        raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
    try:
        return call()
    except outages.DATABASE_AWAY as away:
        raise SettingsError(f"the database does not answer: {outages.first_line(away)}") from None


def _show(report: Report, as_json: bool, dry_run: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    for wrong in report["errors"][:SHOWN_ERRORS]:
        click.echo(f"line {wrong['line']}: {wrong['field']}: {wrong['message']}", err=True)
    if len(report["errors"]) > SHOWN_ERRORS:
        click.echo(f"... and {len(report['errors']) - SHOWN_ERRORS} more", err=True)
    said = "would be " if dry_run else ""
    click.echo(f"{said}imported: {report['imported']}, updated: {report['updated']}, failed: {report['failed']}")
