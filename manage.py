#!/usr/bin/env python3
"""Baton's operator commands: `python manage.py --help`. Each command's work is done in `operate/`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from operate import audit_commands, identity_commands, model_commands, studio_commands
from settings import SettingsError


def data_dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--data-dir`; it becomes BATON_DATA_DIR, so that the settings see it like everything else."""

    def remember(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value:
            os.environ["BATON_DATA_DIR"] = value

    return click.option(
        "--data-dir", metavar="DIR", callback=remember, expose_value=False, is_eager=True,
        help="Data dir of the instance (default .baton).",
    )(command)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Baton: AI agents as durable Celery chains."""


@cli.command(short_help="Start everything, keep it running, stop it on Ctrl-C.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web process (default 8080, or a free one).")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker processes.")
@click.option("--no-flower", is_flag=True, help="Do not start Flower.")
@click.option("--quiet", is_flag=True, help="Show no lines of the processes' logs.")
@data_dir_option
def up(port: int | None, workers: int, no_flower: bool, quiet: bool) -> None:
    """Start embedded servers unless DATABASE_URL / REDIS_URL name real ones, run the migrations, start every process of
    the Procfile and keep them running. Ctrl-C lets running nodes finish and stops all of it.
    """
    from gateway.backends import models_file
    from operate import supervisor
    from policy.pii import rule_file
    from settings import load

    known, _ = load(with_data_dir=False)
    if known.models:
        models_file.load(known.models, known)  # its mistakes are told before anything starts
    if known.pii_rules:
        rule_file.load(known.pii_rules)
    sys.exit(supervisor.up(known, supervisor.Wishes(port, workers, not no_flower, quiet)))


@cli.command(short_help="What runs under the data dir.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
@data_dir_option
def ps(as_json: bool) -> None:
    """List the running processes with pid and port, from the data dir and /proc alone."""
    from operate.instance import Instance
    from settings import data_dir

    rows = Instance(data_dir()).running()
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(f"{row['name']:<10} {row['pid']:>8} {row['port'] or '-':>6}")


@cli.command(context_settings={"ignore_unknown_options": True}, short_help="A shell on the database, as its owner.")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@data_dir_option
def psql(args: tuple[str, ...]) -> None:
    """Open psql on the database in use; ARGS are psql's own, e.g. `-c 'SELECT ...'`."""
    from operate import shells

    shells.psql(list(args))


@cli.command(name="redis-cli", context_settings={"ignore_unknown_options": True}, short_help="A shell on the broker.")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@data_dir_option
def redis_cli(args: tuple[str, ...]) -> None:
    """Run one Redis command (ARGS), or read commands from the terminal."""
    from operate import shells

    sys.exit(shells.redis_cli(list(args)))


@cli.command(short_help="Every setting with value, source, default and meaning.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
@data_dir_option
def settings(as_json: bool) -> None:
    """Print every setting; secrets are masked."""
    from settings import described

    rows = described()
    if as_json:
        click.echo(json.dumps([row._asdict() for row in rows]))
        return
    for row in rows:
        click.echo(f"{row.name}={row.value}")
        click.echo(f"    {row.meaning} (default: {row.default or 'none'}; from: {row.source})")


@cli.command(short_help="Bring the database to this version's schema.")
@data_dir_option
def migrate() -> None:
    """Make roles, tables and grants; safe to run at any time and by several hosts at once."""
    from operate import upkeep

    sys.exit(upkeep.migrate())


@cli.command(name="api-key", short_help="Make another API key of the default tenant and print it.")
@click.argument("name", default="operator")
@data_dir_option
def api_key(name: str) -> None:
    """Make an API key with the label NAME. It is shown once: the database keeps its hash only."""
    from operate import upkeep

    click.echo(upkeep.new_api_key(name))


@cli.command(short_help="Look after runs whose chain version has left the code.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@data_dir_option
def doctor(dry_run: bool) -> None:
    """Check servers, schema and chains, and set aside or move runs whose chain version has left the code."""
    from operate import upkeep

    sys.exit(upkeep.doctor(dry_run=dry_run))


model_commands.add_commands(cli, data_dir_option)
studio_commands.add_commands(cli, data_dir_option)
identity_commands.add_commands(cli, data_dir_option)
audit_commands.add_commands(cli, data_dir_option)


def main() -> None:
    """Run a command; a wrong configuration or an unreachable server is one line on stderr, never a trace."""
    from errors import BatonError
    from operate import run_commands, script_command
    from operate.client import ClientError

    for commands in (run_commands, script_command):
        commands.add_commands(cli, data_dir_option)
    try:
        cli()
    except (SettingsError, ClientError, BatonError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
