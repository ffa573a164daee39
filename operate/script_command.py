"""`manage.py script "..."`: a script as it is made: what was understood, the text growing, the findings.

In a terminal the view is live (rich); piped, it is plain lines. Exit code 0: completed; 1: failed or cancelled; 4: the
run waits for an answer (`--session` and the next message give it).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from operate.client import Client, ClientError
from operate.script_view import Told, Viewer

WithDataDir = Callable[[Callable[..., Any]], Callable[..., Any]]
EXIT_CODES = {"completed": 0, "failed": 1, "cancelled": 1, "paused": 4}
MOST_ANSWERS = 5  # questions of one run that are answered at the keyboard
LAST = ("run_completed", "run_failed", "run_cancelled")


def add_commands(cli: click.Group, with_data_dir: WithDataDir) -> None:
    """Add the command to the group, with `--data-dir`."""
    cli.command(name="script", short_help="Write a livestream script, and watch it being written.")(
        with_data_dir(script)
    )


@click.argument("query")
@click.option("--creator", metavar="NAME|ID", help="Who speaks: a creator's name or id.")
@click.option("--product", metavar="NAME|ID", help="What is sold: a product's name or id.")
@click.option("--seconds", type=click.IntRange(5, 600), help="How long the script is when spoken.")
@click.option("--platform", help="Where it is streamed, such as 抖音.")
@click.option("--session", metavar="ID", help="The session that it belongs to: a later request may change the script.")
@click.option("--json", "as_json", is_flag=True, help="Only the run's output, as JSON.")
def script(
    query: str,
    creator: str | None,
    product: str | None,
    seconds: int | None,
    platform: str | None,
    session: str | None,
    as_json: bool,
) -> None:
    """Write what QUERY wishes for, in Chinese or English; in a session it may also change what was written before."""
    client = Client()
    body: dict[str, Any] = {"input": given(query, creator, product, seconds, platform)}
    if session:
        body["session_id"] = session
    run_id = client.call("POST", "/agents/script/runs", body)["run_id"]
    viewer = Viewer(live=sys.stdout.isatty() and not as_json, quiet=as_json)
    ended = watched(client, run_id, viewer)
    if as_json:
        viewer.json(ended)
    sys.exit(EXIT_CODES.get(ended["status"], 1))


def given(
    query: str, creator: str | None, product: str | None, seconds: int | None, platform: str | None
) -> dict[str, Any]:
    """The run's input. A name may be one that no row has; an id may not."""
    fields: dict[str, Any] = {"query": query, "length_seconds": seconds, "platform": platform}
    for value, name, by_id in ((creator, "influencer_name", "creator_id"), (product, "product", "product_id")):
        fields[by_id if value and is_id(value) else name] = value
    return {name: value for name, value in fields.items() if value is not None}


def is_id(value: str) -> bool:
    """Whether a word is a UUID."""
    from uuid import UUID

    try:
        UUID(value)
    except ValueError:
        return False
    return True


def watched(client: Client, run_id: str, viewer: Viewer) -> dict[str, Any]:
    """Show the run until it ends or waits for an answer that nobody at a keyboard can give; the run as it then is."""
    after = 0
    for _ in range(MOST_ANSWERS + 1):
        after, question = shown(client, run_id, viewer, after)
        if question is None or not viewer.may_ask():
            break
        answer = click.prompt(viewer.question(question))
        try:
            client.call("POST", f"/runs/{run_id}/answer", {"answer": answer})
        except ClientError as refused:  # somebody else answered, or the time is over: the run goes on by itself
            click.echo(str(refused), err=True)
    ended: dict[str, Any] = client.call("GET", f"/runs/{run_id}")
    viewer.end(Told.of(ended))
    return ended


def shown(client: Client, run_id: str, viewer: Viewer, after: int) -> tuple[int, dict[str, Any] | None]:
    """Show events until the run ends or asks something: (the last event's number, what is asked)."""
    with viewer:
        for event in client.follow(run_id, after):
            after = event.get("seq", after)
            viewer.show(event)
            if event["type"] == "run_paused" and still_paused(client, run_id):
                return after, event["data"]
            if event["type"] in LAST:
                break
    return after, None


def still_paused(client: Client, run_id: str) -> bool:
    """Whether a pause in the history is the present one: this very request may have been the answer to it."""
    return bool(client.call("GET", f"/runs/{run_id}")["status"] == "paused")
