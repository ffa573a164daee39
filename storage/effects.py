"""The effects ledger: what was meant to be done outside, and what is known of it.

The key is made of run, step and the effect's declared name, never of the attempt: every attempt of a step asks the
ledger for the same row. The rules for what follows stand in `tasks/effects.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from storage.postgres import hot


@dataclass(frozen=True)
class Entry:
    """A row of the ledger. fresh: this call wrote it; result: JSON text once it is done."""

    fresh: bool
    status: str
    request_hash: str
    result: str | None


def effect_key(run_id: UUID, step: str, name: str) -> str:
    """The ledger's key, which is also the `Idempotency-Key` that goes out: 64 hex digits."""
    return hashlib.sha256(f"{run_id}/{step}/{name}".encode()).hexdigest()


def intend(
    tenant_id: UUID,
    key: str,
    run_id: UUID,
    segment: int,
    token: UUID,
    step: str,
    attempt: int,
    name: str,
    kind: str,
    request_hash: str,
) -> Entry | None:
    """Write the intent, or read what stands there; None: the lease is not held any more.

    Synced: the intent of an at_most_once effect must survive anything before the call goes out, and no effect may be
    missing in the ledger of a step that committed after Postgres had crashed in between.
    """
    with hot() as db:
        row = db.one(
            "intend_effect",
            key,
            run_id,
            segment,
            token,
            step,
            attempt,
            name,
            kind,
            request_hash,
            tenant=tenant_id,
        )
    return Entry(*row) if row else None


def write(tenant_id: UUID, statement: str, key: str, *values: object, synced: bool = True) -> None:
    """One of `again_effect`, `effect_done`, `effect_unknown`, `effect_not_sent`."""
    with hot() as db:
        db.do(statement, key, *values, tenant=tenant_id, synced=synced)
