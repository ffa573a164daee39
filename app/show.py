"""How a run looks from outside: its row, and its steps as they are done, under way, or known to come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import structlog

from chains import catalog
from chains.outline import outline
from storage.reads import payloads
from storage.reads.runs import FINAL, Found

log = structlog.get_logger(__name__)

# A run of more steps shows those that it has; what is planned beyond would only repeat the definition.
OUTLINE_STEPS = 5_000


def run(found: Found) -> dict[str, Any]:
    """The run as the contract says it."""
    row = found.run
    return {
        "run_id": row.id,
        "chain": row.chain,
        "chain_version": row.chain_version,
        "status": row.status,
        "degraded": row.degraded_reason is not None,
        "degraded_reason": row.degraded_reason,
        "session_id": row.session_id,
        "agent_id": row.agent_id,
        "parent_run_id": row.parent_run_id,
        "trace_id": row.trace_id,
        "input": payloads.parsed(row.input),
        "output": payloads.output(row.output, row.output_ref),
        "error": _error(payloads.parsed(row.error)),
        "pause": payloads.parsed(row.pause) if row.status == "paused" else None,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at if row.status in FINAL else None,
        "steps": steps(found),
    }


def steps(found: Found) -> list[dict[str, Any]]:
    """Its steps in the order of the definition; those that the definition no longer tells come first."""
    known = {step["key"]: step for step in _known(found)}
    told = _outline(found)
    order = {key: place for place, (key, _, _) in enumerate(told)}
    for key, node, status in told:
        if key not in known:
            known[key] = _step(key, node, _expected(found.run.status, status))
    return sorted(known.values(), key=lambda step: order.get(step["key"], -1)) if told else list(known.values())


def _error(error: Any) -> Any:
    if error is None:
        return None
    return {"code": error.get("code", "failed"), "message": error.get("message", ""), "step": error.get("step")}


def _expected(run_status: str, status: str) -> str:
    """The status of a step that has not begun: after the end of a run (but a resumable one) nothing is planned."""
    return "skipped" if status == "skipped" or run_status in ("completed", "cancelled") else "planned"


def _known(found: Found) -> Iterator[dict[str, Any]]:
    """Steps that have a row, as it stands; then the steps of open segments, which are newer."""
    final = found.run.status in FINAL
    for row in found.steps:
        status = (
            (_expected(found.run.status, "planned") if final else "queued") if row.status == "retrying" else row.status
        )
        yield _step(row.key, row.node, status, row.attempt, row.started_at, row.finished_at)
    for segment in found.segments:
        for place in range(segment.pos, len(segment.keys)):
            status, attempt, started_at = "planned", 1, None
            if place == segment.pos:
                status, attempt = ("running" if segment.token else "queued"), segment.attempt
                started_at = segment.claimed_at if segment.token else None
            if final:
                status = "skipped"
            yield _step(segment.keys[place], segment.nodes[place], status, attempt, started_at)


def _step(
    key: str,
    node: str,
    status: str,
    attempt: int = 1,
    started_at: datetime | None = None,
    finished_at: datetime | None = None,
) -> dict[str, Any]:
    ended = finished_at if status in ("succeeded", "failed", "skipped") else None
    took = round((ended - started_at).total_seconds() * 1000) if started_at and ended else None
    return {
        "key": key,
        "node": node,
        "status": status,
        "attempt": attempt,
        "started_at": started_at,
        "finished_at": ended,
        "duration_ms": took,
    }


def _outline(found: Found) -> list[tuple[str, str, str]]:
    """What the definition says beyond the rows; nothing where its version has left the code."""
    row = found.run
    done = {step.key: step for step in found.steps if step.status == "succeeded"}
    facts = payloads.parsed(row.facts) or {}
    try:
        body = catalog.definition(row.chain, row.chain_version, facts)
        told = outline(body, facts, {key: payloads.parsed(step.facts) or {} for key, step in done.items()})
    except Exception as wrong:  # a chain of the user's own, or one whose version has left the code
        log.warning("outline_failed", run_id=str(row.id), chain=row.chain, error=repr(wrong))
        return []
    return [(one.key, one.node, one.status) for one in told[:OUTLINE_STEPS]]
