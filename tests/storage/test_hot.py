"""What the hot path's connections write: arrays arrive as they were given, whatever stands in their texts."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import Settings
from storage.postgres import Hot, dedicated


class Kind(StrEnum):
    """A text of a type of its own, as a node may name its event."""

    SAID = 'it said "so"'


@pytest.fixture(scope="module")
def db(settings_env: Settings) -> Hot:
    return dedicated("app")


def told_back(db: Hot, given: list[Any], kind: str) -> Any:
    """The array as Postgres understood it."""
    db._execute(f"SELECT %s::{kind}[]", (given,))
    return db._cursor.fetchone()[0]


@given(texts=st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_texts_come_back_as_they_were(db: Hot, texts: list[str | None]) -> None:
    assert told_back(db, texts, "text") == texts


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (
            ["NULL", "null", "", " ", "{}", "{a,b}", 'say "x"', "back\\slash", "'; DROP TABLE runs --", "%s", "行\n"],
            "text",
        ),
        ([Kind.SAID, "plain"], "text"),
        ([1, -1, None, 2**31 - 1], "int"),
        ([0.1, None, 1e300], "float8"),
        ([datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC), None], "timestamptz"),
        ([], "text"),
    ],
)
def test_values_come_back_as_they_were(db: Hot, given: list[Any], kind: str) -> None:
    assert told_back(db, given, kind) == given


def test_ids_come_back_as_they_were(db: Hot) -> None:
    ids = [UUID(int=7), None]
    assert [one and UUID(str(one)) for one in told_back(db, ids, "uuid")] == ids


def test_a_text_that_no_row_can_hold_is_refused(db: Hot) -> None:
    with pytest.raises(ValueError, match="NUL"):
        told_back(db, ["a\0b"], "text")


def test_what_no_statement_takes_arrays_of_is_refused(db: Hot) -> None:
    with pytest.raises(TypeError, match="no array holds a dict"):
        told_back(db, [{}], "text")
