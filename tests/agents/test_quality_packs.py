"""Rule packs are read anew while checks go on, and a bad one changes nothing."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agents.script.data import FOLDER
from agents.script.quality import matching
from agents.script.quality import shelf as shelves
from agents.script.quality.folding import fold
from agents.script.quality.packs import InvalidPack, Pack, nests, read_file
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
    hits = shelf.book().matcher("zh", "beauty", None).hits(folded).kept
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
        (PACK.replace("玫瑰色: 红色", '" ": 红色'), "nothing of this word is heard"),
        (PACK.replace("玫瑰色: 红色", '"\\u200b": 红色'), "nothing of this word is heard"),
        (PACK.replace("      words", "      patterns: [{find: '(?:a{1,30}){1,30}b'}]\n      words"), "repeat within"),
        (PACK.replace("      words", "      patterns: [{find: '((a?)b?){20}c'}]\n      words"), "repeat within"),
        (PACK.replace("      words", "      patterns: [{find: 'a{1,9999999999999}'}]\n      words"), "no pattern"),
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


@pytest.mark.parametrize(
    ("here", "instead", "told"),
    [
        ("  最: 蕞嶵檇晬", '  最: 蕞\n  ");(": x', None),
        ("sounds:\n", 'sounds:\n  "(": 玫\n', "evasions.yaml:"),
        ("sounds:\n", 'sounds:\n  x: 玫\nspellings: {"玫瑰": [" "]}\n', "evasions.yaml:"),
    ],
)
def test_disguises_that_would_fail_later_are_told_when_they_are_read(
    folder: Path, here: str, instead: str, told: str | None
) -> None:
    # Given disguises of which one can be no part of a pattern
    path = folder / "evasions.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace(here, instead, 1), encoding="utf-8")
    # When the folder is read, then that is told, and what does no harm is not
    if told is None:
        assert words_found(Shelf(folder), "玫瑰色") == ["玫瑰色"]
        return
    with pytest.raises(InvalidPack, match=told):
        Shelf(folder).book()


def test_a_look_alike_is_a_character_and_no_range(folder: Path) -> None:
    path = folder / "evasions.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("  最: 蕞嶵檇晬", '  玫: "z-a]^"', 1), encoding="utf-8")
    assert words_found(Shelf(folder), "z瑰色 ]瑰色 k瑰色") == ["z瑰色", "]瑰色"]


def test_what_cannot_be_compiled_is_told_when_the_folder_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pack whose words make no pattern, for whatever reason
    monkeypatch.setattr(matching, "pattern_of", lambda word, disguises: "(")
    # When the folder is read, then it is an invalid pack, and no error in the midst of a script
    with pytest.raises(InvalidPack, match="pack house, zh: cannot be compiled"):
        Shelf(folder).book()


@pytest.mark.parametrize(
    ("source", "nested"),
    [
        ("(?:a{1,30}){1,30}b", True),
        ("((a{1,3})b){2}", True),
        ("(?P<x>a?){5}", True),
        ("(?:ab){1,30}c{1,3}", False),
        (r"(a{1,3})?(b{2}){1,9}", False),
        (r"\(a{1,3}\){1,2}", False),
        ("[(a{1,3})]{1,3}", False),
    ],
)
def test_a_repeat_within_a_repeat_is_seen(source: str, nested: bool) -> None:
    assert nests(source) is nested


class Cleared(dict[str, object]):
    """A dict that another thread clears right after each write and each look."""

    def __contains__(self, key: object) -> bool:
        there = super().__contains__(key)
        self.clear()
        return there

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        self.clear()


def test_a_word_is_compiled_while_another_thread_clears_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packs = Shelf(folder).book()
    monkeypatch.setattr(packs, "_words", Cleared())
    monkeypatch.setattr(packs, "_matchers", Cleared())
    assert packs.word("白菜价").search("白菜价")
    assert packs.matcher("zh", "beauty", None).hits(fold("玫瑰色")).kept


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


def test_packs_are_read_ahead_and_mistakes_are_left_to_the_first_check(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process that is going to check scripts
    def read_ahead(shelf: Shelf) -> None:
        monkeypatch.setattr(shelves, "SHELF", shelf)
        shelves.read_ahead()
        for thread in threading.enumerate():
            if thread.name == "rule packs":
                thread.join(10)

    # When it reads ahead, then the packs are there before anybody asks
    shelf = Shelf(folder)
    read_ahead(shelf)
    monkeypatch.setattr(shelves, "read_folder", lambda where: pytest.fail("the packs are read a second time"))
    assert words_found(shelf, "玫瑰色") == ["玫瑰色"]
    monkeypatch.undo()
    # And without any good pack the thread is silent, and the first check tells
    empty = Shelf(tmp_path_factory.mktemp("no packs"))
    read_ahead(empty)
    with pytest.raises(InvalidPack):
        empty.book()
