"""docs/audit.md says what is recorded: the table of actions is the one that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "identity", "policy", "chains", "agents", "gateway", "operate", "storage", "tasks")
ACTION = re.compile(r"[a-z_]+\.[a-z_]+")
MAKERS = {"audit", "entry", "Entry", "record", "partial"}


def actions() -> Iterator[str]:
    """Every action that is written out where an entry is made."""
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text())):
                if isinstance(call, ast.Call) and name_of(call.func) in MAKERS:
                    yield from (one for one in constants(call) if ACTION.fullmatch(one))
    for sql in (ROOT / "storage").rglob("*.sql"):
        yield from re.findall(r"baton_audit\('[^']+', '([^']+)'", sql.read_text())


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def constants(call: ast.Call) -> Iterator[str]:
    """The texts among the arguments, both of a choice too (`"a.b" if one else "c.d"`)."""
    for argument in (*call.args, *(one.value for one in call.keywords)):
        branches = (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,)
        for one in branches:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def test_the_page_names_every_action_and_no_other() -> None:
    page = (ROOT / "docs" / "audit.md").read_text()
    table = page.split("## What is recorded")[1].split("\n## ")[0]
    named = {one for line in table.splitlines() if line.startswith("| `") for one in ACTION.findall(line.split("|")[1])}
    assert named == set(actions())
