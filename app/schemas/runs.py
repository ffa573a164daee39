"""Runs, their steps, events, checkpoints and effects as the API shows them, and the requests that move a run."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from app.schemas.common import In, Json, Name, Out, Page, PageQuery, Time

RunStatus = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
StepStatus = Literal["planned", "queued", "running", "waiting", "succeeded", "failed", "skipped"]
OnBusy = Literal["reject", "queue", "interrupt"]

Deadline = Field(
    None, gt=0, le=31_536_000, strict=True, description="seconds until the run fails with `deadline_exceeded`"
)


class StartRun(In):
    """A run to start."""

    chain: Name = Field(description="name of a chain")
    input: dict[str, Any] = Field(description="what the chain works on; its own schema says which fields")
    session_id: Name | None = Field(None, description="the session that this run changes")
    deadline_seconds: float | None = Deadline
    on_busy: OnBusy = Field("reject", description="what to do while another run changes the session")
    user_id: Name | None = None
    priority: int = Field(
        0, ge=0, le=9, strict=True, description="of the tenant's runs that wait for a slot the higher starts first"
    )
    idempotency_key: Name | None = Field(None, description="the same as the header `Idempotency-Key`")


class StartAgentRun(In):
    """A run of one agent; a string input becomes `{"query": ...}`."""

    input: dict[str, Any] | str
    user_id: Name | None = None
    session_id: Name | None = None
    stream: bool = Field(False, strict=True, description="true: answer with the run's events as SSE")
    deadline_seconds: float | None = Deadline
    on_busy: OnBusy = "reject"
    idempotency_key: Name | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _one_of_two(cls, value: Any) -> Any:
        if not isinstance(value, dict | str):
            raise PydanticCustomError("object_or_text", "must be an object or a text")
        return value


class StepOut(Out):
    """One step of a run: done, under way, or known to come."""

    key: str
    node: str
    status: StepStatus
    attempt: int
    started_at: Time | None
    finished_at: Time | None
    duration_ms: int | None


class RunError(Out):
    """Why a run failed."""

    code: str
    message: str
    step: str | None


class Run(Out):
    """A run and its steps."""

    run_id: UUID
    chain: str
    chain_version: str
    status: RunStatus
    degraded: bool
    degraded_reason: str | None
    session_id: str | None
    agent_id: str | None
    parent_run_id: UUID | None
    trace_id: str
    input: Json
    output: Json
    error: RunError | None
    pause: dict[str, Any] | None = Field(description="`kind`, `question` and what else the waiting step says")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    steps: list[StepOut]


class RunsQuery(PageQuery):
    """Which runs."""

    status: RunStatus | None = None
    chain: Name | None = None
    session_id: Name | None = None


class RunQuery(In):
    """How long to wait for the end of the run."""

    wait: float = Field(0, ge=0, le=60, description="seconds; the answer comes as soon as the run ends")


class Event(Out):
    """One thing that happened to a run; seq is 1, 2, 3, ... without a gap."""

    run_id: UUID
    seq: int
    type: str
    at: Time
    step: str | None
    node: str | None
    data: Json


class EventsQuery(In):
    """Which events: those with a larger seq than `after`."""

    after: int | None = Field(None, ge=0, le=2**62, description="the last seq that you have")
    cursor: int | None = Field(None, ge=0, le=2**62, description="the same, as other lists call it")
    limit: int = Field(50, ge=1, le=1000)
    ticket: str | None = Field(None, max_length=64, description="of `POST /auth/tickets`, where no header can be sent")


class EventPage(Out):
    """Events in order; `next_cursor` is the last seq of this page (null: the page is empty)."""

    items: list[Event]
    next_cursor: int | None


class Checkpoint(Out):
    """What a succeeded step left. `checksum` is the sha256 of the state's canonical JSON at this version."""

    version: int
    step: str
    node: str
    status: str
    attempt: int
    trace_id: str
    checksum: str
    created_at: Time


class CheckpointState(Checkpoint):
    """A checkpoint with the state: by name, the last output of each node up to it."""

    state: dict[str, Any]


class Effect(Out):
    """One thing done to the outside world, from the ledger."""

    step: str
    attempt: int
    key: str
    kind: Literal["idempotent", "at_most_once"]
    status: Literal["intended", "done", "unknown"]
    at: Time


class Answer(In):
    """The answer to a waiting step. For an effect of unknown outcome: `{"happened": true, "result"?}` or false."""

    answer: Json
    step: str | None = Field(None, min_length=1, max_length=1000, description="which step, where several wait")


class Fork(In):
    """A new run that keeps the checkpoints up to a step."""

    after_step: str = Field(min_length=1, max_length=1000, description="key of a succeeded step")
    input: dict[str, Any] | None = Field(None, description="replaces the parent's input whole")


class Nothing(In):
    """No fields."""


class ResumeQuery(In):
    """Only look, or do it."""

    dry_run: bool = False

    @field_validator("dry_run", mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return value if value != "" else True


class DryRun(Out):
    """What a resume would do, as step keys: what keeps its checkpoint, what comes, what failed and comes again."""

    run_id: UUID
    skipped: list[str]
    run: list[str]
    repeated: list[str]


class DeadLetter(Out):
    """A step that was given up, with its run."""

    run_id: UUID
    chain: str
    step: str | None
    node: str | None
    code: str
    message: str
    attempt: int | None
    failures: int | None
    losses: int | None
    session_id: str | None
    failed_at: Time | None


RunPage = Page[Run]
CheckpointPage = Page[Checkpoint]
EffectPage = Page[Effect]
DeadLetterPage = Page[DeadLetter]
