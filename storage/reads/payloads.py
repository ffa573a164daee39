"""JSON columns as text, so that only what is shown is parsed; large outputs come from the blob store."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Text, cast
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from storage import blobs


def as_text(column: InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """A json column as the text that it holds."""
    return cast(column, Text).label(column.key)


def parsed(text: str | None) -> Any:
    """The value in a json column's text; None for SQL null."""
    return None if text is None else json.loads(text)


def output(text: str | None, ref: str | None) -> Any:
    """A step's or a run's output, from its row or from the blob store. Raises what `blobs.get` raises."""
    return json.loads(blobs.get(ref)) if ref is not None else parsed(text)
