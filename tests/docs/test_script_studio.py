"""docs/script-studio.md: its tables name what there is, and a changed view of the command makes its examples stale.

That they are what the command prints is tried on a running instance, in tests/acceptance/test_script_examples.py.
"""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from chains import catalog
from operate.script_view import Told, noted, result
from tests.docs.pages import ROOT, module_of

PAGE = (ROOT / "docs" / "script-studio.md").read_text(encoding="utf-8")
EVENTS = (
    ("intent_recognized", {"intent": "generate", "source": "rules", "slots": {"category_label": "美妆"}}),
    ("profile_fetched", {"name": "小雅", "known": True}),
    ("product_fetched", {"name": None}),
    ("quality_checked", {"passed": True, "findings": 0}),
)
OUTPUT = {
    "script": "一\n二",
    "seconds": 3.0,
    "tone": "活泼",
    "writer": "rules",
    "rewrites": 1,
    "quality": {"passed": True, "score": 1.0, "findings": []},
}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return module_of("docs/script_examples.py")


def printed(*events: tuple[str, dict[str, object]], **changes: object) -> str:
    """What the command prints of a run with these events and this output."""
    told = [str(noted(name, data)) for name, data in events or EVENTS]
    return "\n".join([*told, *result(Told("completed", {**OUTPUT, **changes}))])


def test_there_is_an_example_of_a_script_of_a_change_and_of_a_batch(maker: ModuleType) -> None:
    said = [" ".join(maker.shape_of(text)) for _, text in maker.examples(PAGE)]
    assert len(said) == 3
    assert "intent generate" in " ".join(said[0].split())
    assert "[part]   - …   + …" in said[1]
    assert "batch     0 products" in said[2]


def test_another_script_has_the_same_shape(maker: ModuleType) -> None:
    # Given another text, with a warning, after a rewrite, and what is fetched at once the other way round
    finding = {"severity": "warning", "rule": "style", "text": "x", "message": "y"}
    quality = {"passed": True, "score": 0.95, "findings": [finding]}
    events = (EVENTS[0], EVENTS[2], EVENTS[1], ("script_rewritten", {"round": 1, "changes": 2}), EVENTS[3])
    # Then it is the same to the page
    assert maker.shape_of(printed(*events, script="三\n129元\n五", seconds=48.5, quality=quality)) == maker.shape_of(
        printed()
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [("checked ", "quality "), (" (not known)", ""), ("passed=True", "passed: True"), (", tone ", ", in the tone "),
     ("quality: passed", "quality: fine"), ("score", "mark"), ("category_label=", "category="), ("…", "…")],
)  # fmt: skip
def test_a_changed_view_makes_the_page_stale(maker: ModuleType, before: str, after: str) -> None:
    # Given a page with an example, when the command prints one word of it otherwise, then the page is told to be stale
    page = f"```text\n$ python manage.py script 写一段\n{printed()}\n```"
    told = maker.stale(page, lambda args: printed().replace(before, after))
    assert bool(told) is (before != after)


def test_an_example_in_a_session_is_made_with_what_the_session_heard(maker: ModuleType) -> None:
    ran: list[list[str]] = []

    def run(args: list[str]) -> str:
        ran.append(args)
        return ""

    maker.made_again(PAGE, run)
    sessions = [args for args in ran if "--session" in args]
    assert len(ran) == 4 and sessions[0] == [*maker.BEFORE["docs"], "--session", "docs"]


def test_the_table_has_every_skill() -> None:
    skills = {name for name in catalog.catalog() if name == "script" or name.startswith("script.")}
    named = set(re.findall(r"^\| `(script(?:\.\w+)?)` \|", PAGE, re.MULTILINE))
    assert named == skills
