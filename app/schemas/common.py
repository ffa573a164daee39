"""Pieces that several schemas share: ids, times, pages and the problem object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Item = TypeVar("Item")


def _visible(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must hold visible characters only")
    return value


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_visible)]
"""A name or id that a client chose: 1 to 255 visible characters."""


def _near(value: datetime) -> datetime:
    if not 1971 <= value.year <= 9000:
        raise ValueError("is too far away")
    return value.astimezone(UTC)  # Postgres takes no offset of 16 hours and more


Moment = Annotated[AwareDatetime, AfterValidator(_near)]
"""A time with its offset, as a client gives it."""

Time = datetime
Json = Any


class In(BaseModel):
    """A request: fields that nobody knows are mistakes, and are told."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(In):
    """Which part of a list."""

    limit: int = Field(50, ge=1, le=1000, description="most items of this page")
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before")


class Page(Out, Generic[Item]):
    """A part of a list, and the cursor of the next part (null: there is none)."""

    items: list[Item]
    next_cursor: str | None


class WrongField(Out):
    """One wrong field."""

    field: str
    message: str


class Problem(BaseModel):
    """An RFC 9457 problem. `code` is stable and meant for programs, `detail` for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[WrongField]
    reason: str | None = None
    retry_after_seconds: float | None = None
