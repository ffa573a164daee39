"""Sessions: a conversation with its turns, and fields of its maker's own."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.schemas.common import Name, Page, Time
from app.schemas.runs import Checkpoint, CheckpointState

RESERVED = ("status", "created_at", "updated_at", "turns", "memory")


class NewSession(BaseModel):
    """A session to make; any further field (`influencer_name`, `category`, ...) is kept and shown with it."""

    model_config = ConfigDict(extra="allow")

    session_id: Name | None = Field(None, description="an id of your own; default: a new one")
    user_id: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _own_fields(cls, values: Any) -> Any:
        for name in RESERVED:
            if isinstance(values, dict) and name in values:
                raise ValueError(f"{name} is set by the service")
        return values


class Session(BaseModel):
    """A session, flat: our fields and its maker's."""

    model_config = ConfigDict(extra="allow")

    session_id: str
    user_id: str | None
    status: str
    created_at: Time
    updated_at: Time


class Turn(BaseModel):
    """One message of a session."""

    no: int
    run_id: UUID | None
    role: str
    content: str
    created_at: Time


class SessionDetail(Session):
    """A session with its last turns, oldest first."""

    turns: list[Turn]


class SessionCheckpoint(Checkpoint):
    """A checkpoint of a session: `version` counts through all runs of the session."""

    run_id: UUID


class SessionCheckpointState(CheckpointState):
    """The same with the state of its run at that point."""

    run_id: UUID


SessionPage = Page[Session]
SessionCheckpointPage = Page[SessionCheckpoint]
