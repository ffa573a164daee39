"""Makes the examples of docs/script-studio.md anew, by `manage.py script` on a running instance (`manage.py up`).

.venv/bin/python docs/script_examples.py             run each command and write what it printed
.venv/bin/python docs/script_examples.py --check     exit code 1 where the command prints other lines than the page has

What a script says differs from run to run, so the check compares shapes: which lines there are, in which order, with
which labels and fields. The instance's tenant must have no products of its own: the examples are about built-in ones.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "script-studio.md"
BLOCK = re.compile(r"```text\n\$ python manage\.py script (?P<args>[^\n]+)\n(?P<printed>.*?)```", re.DOTALL)
TIMEOUT_SECONDS = 120
# What the session of an example has heard before.
BEFORE = {"docs": ["写一段水润精华的讲解，活泼一点，30秒", "--creator", "小雅"]}

SPOKEN = re.compile(r"[^\x00-\x7f]+")
RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
SAID = re.compile(r"0?…(?: ?0?…)*0?")  # once the values are gone: words with numbers among them
PART = re.compile(r"^\[\w+\]$")
BY_CHANCE = re.compile(r"^(?:rewritten round|  (?:error|warning) )")  # one script is mended, and another is not
AT_ONCE = re.compile(r"^(?:creator|product) ")  # fetched at the same moment, shown in any order
OF_ITEMS = re.compile(r"^(?:product|checked|item) ")  # a batch's items run beside each other

Run = Callable[[list[str]], str]  # arguments of `manage.py script` -> what it printed


def examples(text: str) -> Iterator[tuple[list[str], str]]:
    """(the command's arguments, what it printed) of every example of the page."""
    for found in BLOCK.finditer(text):
        yield shlex.split(found["args"]), found["printed"]


def shape_of(printed: str) -> list[str]:
    """What the command printed without what differs from run to run: words, numbers and ids; a script is one line."""
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    plain = [without_values(line) for line in lines if line and not BY_CHANCE.match(line)]
    any_order = OF_ITEMS if any(line.startswith("batch ") for line in plain) else AT_ONCE
    shape: list[str] = []
    for at_once, group in groupby(plain, key=lambda line: bool(any_order.match(line))):
        shape += sorted(group) if at_once else [line for line, _ in groupby(group)]
    return shape


def without_values(line: str) -> str:
    """One line with … for what is said and 0 for a number."""
    line = SAID.sub("…", NUMBER.sub("0", RUN_ID.sub("RUN", SPOKEN.sub("…", line))))
    return "…" if line.startswith("…") else PART.sub("[part]", line)


def stale(text: str, run: Run) -> list[str]:
    """The commands that print another shape than the page shows, with what is different."""
    told: list[str] = []
    for args, printed in examples(text):
        now, shown = shape_of(printed_by(args, run)), shape_of(printed)
        if now != shown:
            told.append(f"manage.py script {shlex.join(args)}\n  the page: {shown}\n  now:      {now}")
    return told


def printed_by(args: list[str], run: Run) -> str:
    """What the command prints, in a session that has heard what it is to have heard."""
    if "--session" in args:
        at = args.index("--session") + 1
        run([*BEFORE[args[at]], *args[at - 1 : at + 1]])
    return run(args)


def on_this_instance(args: list[str]) -> str:
    """Run the command on the instance of the usual data dir."""
    command = [sys.executable, "manage.py", "script", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def made_again(text: str, run: Run) -> str:
    """The page with every example run anew."""

    def again(found: re.Match[str]) -> str:
        printed = printed_by(shlex.split(found["args"]), run)
        return f"```text\n$ python manage.py script {found['args']}\n{printed.strip()}\n```"

    return BLOCK.sub(again, text)


def main(args: list[str]) -> int:
    """Make the examples, or check their shape."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in args:
        wrong = stale(text, on_this_instance)
        print("".join(f"stale: {one}\n" for one in wrong), end="")
        return 1 if wrong else 0
    PAGE.write_text(made_again(text, on_this_instance), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
