"""The record of what was done and by whom, and requests to forget a subject."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from app.schemas.common import In, Json, Moment, Name, Out, Page, PageQuery, Time

Since = Annotated[
    Moment | None, Field(alias="from", description="not earlier than this time, such as 2026-11-20T08:00:00Z")
]
Until = Annotated[Moment | None, Field(alias="to", description="earlier than this time")]


class AuditQuery(PageQuery):
    """Which entries."""

    actor: Name | None = Field(None, description="`user:<id>`, `key:<prefix>`, `system:<name>`")
    action: Name | None = Field(None, description="an action, or what it begins with: `user.`")
    resource: Name | None = Field(None, description="`user:<id>`, `run:<id>`, ...")
    trace_id: Name | None = Field(None, description="of the request that did it")
    since: Since = None
    until: Until = None


class AuditEntry(Out):
    """One entry. seq: 1, 2, 3, ... in the tenant; hash: over the entry and the hash before it, in hex."""

    seq: int
    id: UUID
    at: Time
    actor: str
    action: str
    resource: str
    before: Json = Field(description="what changed, masked; null where there is nothing to tell")
    after: Json
    source: str | None = Field(description="the caller's address")
    trace_id: str | None
    prev_hash: str
    hash: str


class AuditPage(Page[AuditEntry]):
    """A part of the record, newest first."""


class ExportQuery(In):
    """Which part of the record."""

    since: Since = None
    until: Until = None


class Subject(In):
    """Whom to forget: a user or a session, one of them."""

    user_id: Name | None = Field(None, description="as runs and sessions name the user; an id of /admin/users too")
    session_id: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Subject:
        if (self.user_id is None) == (self.session_id is None):
            raise ValueError("must have either user_id or session_id")
        return self


class NewErasure(In):
    """A request to forget somebody."""

    subject: Subject


class Erasure(Out):
    """A request to forget, and its receipt. counts: how much of what was deleted, so far."""

    erasure_id: UUID
    status: Literal["requested", "done", "failed"] = Field(
        description="failed: its run was given up and can be resumed"
    )
    subject_hash: str = Field(description="a keyed hash of whom it is about, as the record has it")
    run_id: UUID
    requested_by: str
    requested_at: Time
    done_at: Time | None
    counts: dict[str, int]


class ErasurePage(Page[Erasure]):
    """A part of the requests, newest first."""
