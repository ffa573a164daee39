"""The examples of docs/script-studio.md are what the command prints today, on an instance that runs."""

from __future__ import annotations

from tests.acceptance.house import House
from tests.docs.pages import module_of


def test_the_command_prints_what_the_page_shows(house: House) -> None:
    # Given a running instance, when each example's command is run on it, as its reader would
    maker = module_of("docs/script_examples.py")

    def run(args: list[str]) -> str:
        done = house.manage("script", *args, timeout_seconds=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # Then it prints the lines of the page, in their order, with their labels and fields
    assert maker.stale(maker.PAGE.read_text(encoding="utf-8"), run) == []
