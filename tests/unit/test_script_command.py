"""`manage.py script`: which input a command line makes, what is shown, and how it exits."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

import manage
from operate import run_commands, script_command
from operate.script_command import EXIT_CODES, given
from operate.script_view import Told, result

ID = "0199aaaa-0000-7000-8000-000000000001"
PAUSE = {"kind": "question", "question": "讲的是哪一款？", "choices": [{"id": "a", "text": "美妆"}]}


class FakeClient:
    """An instance whose run goes through these events and stands like that."""

    events: tuple[dict[str, Any], ...] = ()
    run: dict[str, Any] = {}  # noqa: RUF012
    asked: list[Any] = []  # noqa: RUF012

    def call(self, method: str, path: str, body: Any = None) -> Any:
        if method == "POST":
            self.asked.append(body)
        return self.run

    def follow(self, run_id: str, after: int) -> Any:
        return iter([one for one in self.events if one.get("seq", 0) > after or "seq" not in one])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    monkeypatch.setattr(script_command, "Client", FakeClient)
    monkeypatch.setattr(FakeClient, "asked", [])
    if "run" not in manage.cli.commands:  # a function becomes a command once a process
        for commands in (run_commands, script_command):
            commands.add_commands(manage.cli, manage.data_dir_option)
    return manage.cli


def test_names_and_ids_go_into_their_own_fields() -> None:
    assert given("写一段", "小雅", ID, 30, None) == {
        "query": "写一段",
        "influencer_name": "小雅",
        "product_id": ID,
        "length_seconds": 30,
    }


@pytest.mark.parametrize("status", list(EXIT_CODES))
def test_the_exit_code_follows_the_status(command: click.Command, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    # Given a run that ends like that
    event = {"seq": 1, "type": f"run_{status}", "data": PAUSE}
    monkeypatch.setattr(FakeClient, "events", (event,))
    monkeypatch.setattr(FakeClient, "run", {"run_id": "r", "status": status, "pause": PAUSE})
    # When it is watched without a terminal
    done = CliRunner().invoke(command, ["script", "写一段", "--session", "s"])
    # Then the exit code tells, and the lines are plain
    assert done.exit_code == EXIT_CODES[status], done.output
    assert f"status: {status}" in done.output and "\x1b" not in done.output
    assert FakeClient.asked == [{"input": {"query": "写一段"}, "session_id": "s"}]


def test_what_is_asked_is_shown_with_its_choices() -> None:
    lines = result(Told("paused", pause=PAUSE))
    assert lines[-3:] == ["讲的是哪一款？", "  1. 美妆", "status: paused"]


def test_a_pause_that_is_over_does_not_end_the_view(command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a run that was paused before this very message answered it, then its end is shown."""
    events = ({"seq": 1, "type": "run_paused", "data": PAUSE}, {"seq": 2, "type": "run_completed", "data": {}})
    monkeypatch.setattr(FakeClient, "events", events)
    output = {"answer": "好的", "script": None}
    monkeypatch.setattr(FakeClient, "run", {"run_id": "r", "status": "completed", "output": output})
    done = CliRunner().invoke(command, ["script", "水润精华", "--session", "s"])
    assert done.exit_code == 0 and "好的" in done.output
