"""`manage.py run`, `runs ...` and `dead-letters ...`: the API's calls from the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from operate.client import Client

WithDataDir = Callable[[Callable[..., Any]], Callable[..., Any]]


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the commands to the group, each with `--data-dir`."""
    cli.command(name="run", short_help="Start a run; --follow shows its events.")(with_data_dir(run))
    runs = click.Group("runs", short_help="Runs: list, show, cancel, resume, answer, fork.", help="Runs of the tenant.")
    letters = click.Group("dead-letters", short_help="Steps set aside: list, replay.", help="Steps that need a person.")
    for group, commands in (
        (runs, (list_runs, show, cancel, resume, answer, fork)),
        (letters, (list_letters, replay)),
    ):
        for command in commands:
            name = "list" if command.__name__.startswith("list_") else command.__name__
            group.command(name=name)(with_data_dir(command))
        cli.add_command(group)


def _json(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Parse a JSON argument; `-` reads it from standard input."""
    if value is None:
        return None
    try:
        return json.loads(sys.stdin.read() if value == "-" else value)
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}") from None


def _show(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _line(run: dict[str, Any]) -> str:
    degraded = " degraded" if run.get("degraded") else ""
    return f"{run['run_id']}  {run['status']:<9}{degraded} {run['chain']}@{run['chain_version']}  {run['created_at']}"


@click.argument("chain")
@click.argument("input", default="{}", metavar="JSON", callback=_json)
@click.option("--follow", is_flag=True, help="Show the run's events until it ends; exit code 1 unless it completes.")
@click.option("--session", metavar="ID", help="The session that the run belongs to.")
@click.option("--key", metavar="KEY", help="Idempotency key: the same key and input is the same run.")
def run(chain: str, input: Any, follow: bool, session: str | None, key: str | None) -> None:
    """Start a run of CHAIN with the input JSON (`-`: from standard input)."""
    client = Client()
    body = {"input": input, "session_id": session, "idempotency_key": key, "stream": False}
    started = client.call(
        "POST", f"/agents/{chain}/runs", {name: value for name, value in body.items() if value is not None}
    )
    if not follow:
        _show(started)
        return
    click.echo(_line(started))
    for event in client.follow(started["run_id"]):
        if event["type"] != "token":
            click.echo(f"{event['seq']:>4}  {event['type']:<16} {event.get('step') or '':<24} {_short(event)}")
    ended = client.call("GET", f"/runs/{started['run_id']}")
    _show({name: ended[name] for name in ("status", "degraded", "output", "error")})
    sys.exit(0 if ended["status"] == "completed" else 1)


def _short(event: dict[str, Any]) -> str:
    data = event.get("data")
    return json.dumps(data, ensure_ascii=False)[:120] if data else ""


@click.option("--status", help="Only runs of this status.")
@click.option("--chain", help="Only runs of this chain.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The whole page as JSON.")
def list_runs(status: str | None, chain: str | None, limit: int, as_json: bool) -> None:
    """List the newest runs."""
    page = Client().call("GET", "/runs", status=status, chain=chain, limit=limit)
    if as_json:
        _show(page)
        return
    for item in page["items"]:
        click.echo(_line(item))


@click.argument("run_id")
@click.option("--events", is_flag=True, help="Its events as well.")
def show(run_id: str, events: bool) -> None:
    """Show one run."""
    client = Client()
    _show(client.call("GET", f"/runs/{run_id}"))
    if events:
        _show(client.call("GET", f"/runs/{run_id}/events", limit=1000)["items"])


@click.argument("run_id")
def cancel(run_id: str) -> None:
    """Stop a run; its finished steps stay."""
    click.echo(_line(Client().call("POST", f"/runs/{run_id}/cancel")))


@click.argument("run_id")
@click.option("--dry-run", is_flag=True, help="Only say what would be skipped, run and repeated.")
def resume(run_id: str, dry_run: bool) -> None:
    """Go on with a failed run from its last succeeded step."""
    told = Client().call("POST", f"/runs/{run_id}/resume", dry_run="true" if dry_run else None)
    _show(told) if dry_run else click.echo(_line(told))


@click.argument("run_id")
@click.argument("answer", metavar="JSON", callback=_json)
@click.option("--step", metavar="KEY", help="Which step, when several wait.")
def answer(run_id: str, answer: Any, step: str | None) -> None:
    """Answer what a paused run asks; for an effect of unknown outcome '{"happened": true}' or false."""
    body = {"answer": answer, **({"step": step} if step else {})}
    click.echo(_line(Client().call("POST", f"/runs/{run_id}/answer", body)))


@click.argument("run_id")
@click.argument("after_step", metavar="STEP")
@click.option("--input", metavar="JSON", callback=_json, help="Replaces the parent's input.")
def fork(run_id: str, after_step: str, input: Any) -> None:
    """Start a new run that keeps this one's steps up to STEP."""
    body = {"after_step": after_step, **({"input": input} if input is not None else {})}
    click.echo(_line(Client().call("POST", f"/runs/{run_id}/fork", body)))


@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The whole page as JSON.")
def list_letters(limit: int, as_json: bool) -> None:
    """List the failed steps that wait for a person."""
    page = Client().call("GET", "/dead-letters", limit=limit)
    if as_json:
        _show(page)
        return
    for letter in page["items"]:
        click.echo(f"{letter['run_id']}  {letter['step'] or '-':<24} {letter['code']} {letter['message'] or ''}")


@click.argument("run_ids", nargs=-1, required=True)
def replay(run_ids: tuple[str, ...]) -> None:
    """Give the failed steps of these runs a new retry budget and go on (the same as `runs resume`)."""
    client = Client()
    for run_id in run_ids:
        click.echo(_line(client.call("POST", f"/runs/{run_id}/resume")))
