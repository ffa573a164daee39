"""The chain that forgets a subject, and how it is asked for: the request, its run and its entry in one transaction.

    erasure_id, outcome = request(tenant_id, user_id="u-1", subject_hash=..., entry=...)

The run is durable like every other one and holds nothing but the erasure's id. No client starts this chain by itself.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from chains.advance import Outcome, move
from chains.definition import Chain, sequence, step
from chains.submit import SubmitRequest, insert
from storage import audit, erasure
from storage.postgres import hot
from storage.tables import uuid7


class ErasureInput(BaseModel):
    """Input of the chain `erasure`."""

    model_config = ConfigDict(extra="forbid")

    erasure_id: UUID = Field(description="of `POST /api/v1/erasure`")


ERASURE = Chain(
    erasure.CHAIN,
    version="1",
    title="Forget a user or a session",
    internal=True,
    input_schema=ErasureInput,
    output=lambda results: {},
    body=sequence(
        step("privacy.stop_runs"),
        step("privacy.erase_runs"),
        step("privacy.erase_sessions"),
        step("privacy.erase_answers"),
        step("privacy.erase_user"),
        step("privacy.receipt"),
    ),
)


def request(
    tenant_id: UUID, *, user_id: str | None = None, session_id: str | None = None, subject_hash: str, entry: audit.Entry
) -> tuple[UUID, Outcome]:
    """Record an erasure with its run; its id, and what is to be sent (`deliver_later`).

    subject_hash: the keyed hash of whom it is about; entry: names the one who asks, and gets the erasure as resource.
    """
    erasure_id, run_id = uuid7(), uuid7()
    outcome = Outcome(tenant_id, run_id)
    asked = SubmitRequest(ERASURE.name, None, actor=entry.actor)
    accepted = ERASURE.accept({"erasure_id": str(erasure_id)})
    whom = erasure.described(user_id, session_id)
    with hot() as db, db.transaction(tenant_id, run_id):
        now = insert(db, outcome, asked, ERASURE, accepted)
        db.later("request_erasure", erasure_id, tenant_id, whom, subject_hash.encode(), run_id, entry.actor)
        move(db, outcome, now)
        audit.write_hot(db, replace(entry, resource=f"erasure:{erasure_id}"))
    outcome.events.clear()  # nobody watches a run that nobody knows of yet
    return erasure_id, outcome
