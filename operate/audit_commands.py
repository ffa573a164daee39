"""`manage.py audit`: is the record what was recorded, and the anchors to keep elsewhere that prove it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from uuid import UUID

    from policy.audit_chain import Report

WithDataDir = Callable[[Callable[..., Any]], Callable[..., Any]]
Anchors = dict["UUID", dict[int, list[bytes]]]

existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the commands to the group, each with `--data-dir`."""
    text = "The record: verify it, export its anchors."
    group = click.Group(name="audit", short_help=text, help=text)
    group.command(name="verify", short_help="Find what was changed, removed, reordered or added by hand.")(
        with_data_dir(verify)
    )
    group.command(name="anchors", short_help="Show or export the daily anchors.")(with_data_dir(anchors))
    cli.add_command(group)


@click.option("--tenant", metavar="NAME", help="Only this tenant; without it all.")
@click.option("--file", "export", type=existing_file, help="An export of the API, verified without the database.")
@click.option("--anchors", "anchor_file", type=existing_file, help="Anchors that were exported before.")
def verify(tenant: str | None, export: Path | None, anchor_file: Path | None) -> None:
    """Compute every hash of the record anew. Exit code 1: something does not fit, and what, by seq.

    Without --anchors the database's own are used: whoever owns its tables could have changed those too.
    """
    if export is not None and tenant is not None:
        raise click.UsageError("--file says itself of which tenant it is: leave out --tenant")
    known = None if anchor_file is None else _read_anchors(anchor_file)
    whole = [_verify_file(export, known)] if export is not None else _verify_tenants(tenant, known)
    sys.exit(0 if all(whole) else 1)


@click.option("--tenant", metavar="NAME", help="Only this tenant; without it all.")
@click.option("--export", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write them to a file.")
def anchors(tenant: str | None, export: Path | None) -> None:
    """The head of each tenant's chain, day by day, as JSON lines; keep a copy where the database's owner has none."""
    from storage import audit_anchors

    found = _tenants(tenant)
    wanted = None if tenant is None else next(iter(found))
    lines = [
        json.dumps({"tenant_id": str(one.tenant_id), "day": f"{one.day}", "seq": one.seq, "hash": one.hash.hex()})
        for one in audit_anchors.all_of(wanted)
    ]
    text = "".join(f"{line}\n" for line in lines)
    if export is None:
        click.echo(text, nl=False)
        return
    export.write_text(text, encoding="utf-8")
    click.echo(f"{len(lines)} anchors: {export}")


def _verify_tenants(name: str | None, known: Anchors | None) -> list[bool]:
    """Verify the record of each tenant; whether it is whole."""
    from policy import audit_chain
    from storage import audit_anchors
    from storage.reads import audit

    whole = []
    anchored = _by_seq(audit_anchors.all_of()) if known is None else known
    for tenant_id, tenant_name in _tenants(name).items():
        with audit.whole_chain(tenant_id) as (head, rows):
            report = audit_chain.verify(tenant_id, rows, head, anchored.get(tenant_id))
        whole.append(_tell(tenant_name, report, "" if known is None else " given"))
    return whole


def _verify_file(export: Path, known: Anchors | None) -> bool:
    from policy import audit_export

    try:
        tenant_id, report = audit_export.verify_file(export, known)
    except audit_export.NotAnExport as wrong:
        raise click.BadParameter(str(wrong), param_hint="--file") from None
    return _tell(f"{tenant_id} ({export})", report, " given")


def _tell(name: str, report: Report, which: str) -> bool:
    """Print what was found; whether nothing was."""
    for one in report.findings:
        click.echo(f"{name}  seq {one.seq}  {one.kind}: {one.message}")
    if report.more:
        click.echo(f"{name}  ... and more")
    found = "whole" if report.whole else "NOT whole"
    click.echo(f"{name}  {found}: {report.entries} entries, {report.anchors} anchors{which}")
    return report.whole


def _tenants(name: str | None) -> dict[UUID, str]:
    """The tenants by id. Raises BadParameter for a name that is none."""
    from settings import SettingsError, settings
    from storage import outages
    from storage.reads import audit

    if not settings().database_url:
        raise SettingsError("DATABASE_URL is not set, and no instance has run in the data dir")
    try:
        every = audit.tenants()
    except outages.DATABASE_AWAY as away:
        raise SettingsError(f"the database does not answer: {outages.first_line(away)}") from None
    found = {tenant_id: other for tenant_id, other in every.items() if name in (None, other)}
    if not found and name is not None:
        raise click.BadParameter(f"there is no tenant {name!r}", param_hint="--tenant")
    return found


def _read_anchors(path: Path) -> Anchors:
    """The anchors of an exported file. Raises BadParameter for a line that is none."""
    from datetime import date
    from uuid import UUID

    from storage.audit_anchors import Anchor

    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            told = json.loads(line)
            day, hashed = date.fromisoformat(told["day"]), bytes.fromhex(told["hash"])
            found.append(Anchor(UUID(told["tenant_id"]), day, int(told["seq"]), hashed))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise click.BadParameter(f"line {number} is no anchor", param_hint="--anchors") from None
    return _by_seq(found)


def _by_seq(found: Iterable[Any]) -> Anchors:
    """Hashes by tenant and seq: two days without an entry between them have the same."""
    by_seq: Anchors = {}
    for one in found:
        by_seq.setdefault(one.tenant_id, {}).setdefault(one.seq, []).append(one.hash)
    return by_seq
