"""Rule packs are read anew while checks go on, and a bad one changes nothing."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agents.script.data import FOLDER
from agents.script.quality import shelf as shelves
from agents.script.quality.folding import fold
from agents.script.quality.packs import InvalidPack, Pack, read_file
from agents.script.quality.shelf import LOOK_EVERY_SECONDS, Shelf

PACK = """\
id: house
version: "1"
title: our own
rules:
  - id: colour
    family: house
    zh:
      reason: 我们不这么说
      words: {玫瑰色: 红色}
"""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(FOLDER / "rule_packs" / "evasions.yaml", tmp_path)
    (tmp_path / "house.yaml").write_text(PACK, encoding="utf-8")
    return tmp_path


def words_found(shelf: Shelf, text: str) -> list[str]:
    folded = fold(text)
    hits = shelf.book().matcher("zh", "beauty", None).hits(folded)
    return [text[slice(*folded.original(hit.start, hit.end))] for hit in hits]


def put(path: Path, text: str) -> None:
    """Write as an operator should: under another name, then rename."""
    path.with_suffix(".new").write_text(text, encoding="utf-8")
    os.replace(path.with_suffix(".new"), path)  # noqa: PTH105


def test_a_changed_pack_holds_after_a_second(folder: Path) -> None:
    # Given a pack in use
    clock = Clock()
    shelf = Shelf(folder, clock)
    assert words_found(shelf, "玫瑰色和天青色") == ["玫瑰色"]
    # When it changes, then nothing is looked at before the second is over, and the new one holds after
    put(folder / "house.yaml", PACK.replace("玫瑰色", "天青色").replace('"1"', '"2"'))
    assert words_found(shelf, "玫瑰色和天青色") == ["玫瑰色"]
    clock.now += LOOK_EVERY_SECONDS
    assert words_found(shelf, "玫瑰色和天青色") == ["天青色"]
    assert shelf.book().versions == {"house": "2"}


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (PACK.replace("family: house", "famly: house"), "house.yaml:6: rules[0].famly"),
        (PACK.replace("      words", "      patterns: [{find: '('}]\n      words"), "this is no pattern"),
        (PACK.replace("      words", "      excused_by: ['(a+)+$']\n      words"), "may take minutes"),
        (PACK + "  - id: colour\n    family: house\n    zh: {reason: x}\n", "rule ids given twice: colour"),
        ("id: [", "house.yaml:"),
        (PACK.replace("id: house", "id: house\nid: home"), "given twice"),
    ],
)
def test_a_bad_pack_changes_nothing_and_is_told_once_with_its_line(folder: Path, broken: str, told: str) -> None:
    # Given a pack in use
    clock = Clock()
    shelf = Shelf(folder, clock)
    shelf.book()
    # When a bad one is put in its place
    put(folder / "house.yaml", broken)
    with capture_logs() as logs:
        for _ in range(3):
            clock.now += LOOK_EVERY_SECONDS
            # Then the old one holds on
            assert words_found(shelf, "玫瑰色") == ["玫瑰色"]
    assert [entry["event"] for entry in logs] == ["rule_packs_rejected"]
    assert told in (shelf.rejected or "")
    # And when it is mended, the new one holds
    put(folder / "house.yaml", PACK.replace("玫瑰色", "天青色"))
    clock.now += LOOK_EVERY_SECONDS
    assert words_found(shelf, "天青色") == ["天青色"]
    assert shelf.rejected is None


def test_without_any_good_pack_there_is_no_check(tmp_path: Path) -> None:
    with pytest.raises(InvalidPack, match="no rule pack"):
        Shelf(tmp_path).book()


def test_a_pack_that_comes_and_a_pack_that_goes(folder: Path) -> None:
    clock = Clock()
    shelf = Shelf(folder, clock)
    shelf.book()
    put(folder / "more.yaml", PACK.replace("house", "more").replace("玫瑰色", "天青色"))
    clock.now += LOOK_EVERY_SECONDS
    assert words_found(shelf, "玫瑰色和天青色") == ["玫瑰色", "天青色"]
    (folder / "house.yaml").unlink()
    clock.now += LOOK_EVERY_SECONDS
    assert words_found(shelf, "玫瑰色和天青色") == ["天青色"]


def test_nobody_waits_while_packs_are_read_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a thread that reads changed packs and does not come back yet
    clock = Clock()
    shelf = Shelf(folder, clock)
    before = shelf.book()
    put(folder / "house.yaml", PACK.replace('"1"', '"2"'))
    clock.now += LOOK_EVERY_SECONDS
    reading, go_on = threading.Event(), threading.Event()
    read = shelves.read_folder

    def slowly(where: Path) -> shelves.Book:
        reading.set()
        go_on.wait(10)
        return read(where)

    monkeypatch.setattr(shelves, "read_folder", slowly)
    reader = threading.Thread(target=shelf.book)
    reader.start()
    assert reading.wait(10)
    # When another asks, then it gets the packs that were there
    clock.now += LOOK_EVERY_SECONDS
    assert shelf.book() is before
    go_on.set()
    reader.join(10)
    assert shelf.book().versions == {"house": "2"}


def test_every_pack_that_comes_along_is_right() -> None:
    packs = [path for path in (FOLDER / "rule_packs").glob("*.yaml") if path.name != "evasions.yaml"]
    assert len(packs) >= 8
    for path in packs:
        assert read_file(path, Pack).version
