"""Generate, skills and health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.common import Name, Out, Page
from app.schemas.runs import Deadline, OnBusy


class Generate(BaseModel):
    """A wish for a script in the user's words. Further fields are the input of the chain `script`."""

    model_config = ConfigDict(extra="allow")

    query: str = Field(min_length=1, max_length=4000)
    session_id: Name | None = None
    user_id: Name | None = None
    on_busy: OnBusy = "reject"
    deadline_seconds: float | None = Deadline
    idempotency_key: Name | None = None


class Skill(Out):
    """A chain that this installation can run, as `agent_id` or `chain` of a run."""

    name: str
    title: str
    version: str
    versions: list[str]
    description: str = Field(description="what it does, in a sentence")
    example: dict[str, Any] | None = Field(description="an input to begin with, where its schema has one")
    input_schema: dict[str, Any] | None = Field(description="JSON schema of the input; null: any object")


class Check(Out):
    """One thing that health looks at."""

    status: Literal["ok", "degraded", "down"]
    detail: str | None = None


class Health(Out):
    """How the installation is."""

    status: Literal["ok", "degraded", "down"]
    version: str
    checks: dict[str, Check]


class Alive(Out):
    """The process answers."""

    status: Literal["ok"]


SkillPage = Page[Skill]
