"""Rows of the call log for answers that no model was asked for: from the cache, by a node's rules, by a person."""

from __future__ import annotations

from decimal import Decimal

import metrics
from gateway.attempt import Request, row_of
from gateway.backend import Backend
from gateway.host import Host
from gateway.request import Caller
from storage import model_calls
from storage.model_calls import Level, NewCall
from storage.tables import uuid7


def note_cached(request: Request, backend: Backend, level: Level) -> None:
    """An answer that was given before; backend: who would have been asked."""
    model_calls.cached_call(row_of(request, backend), level)
    metrics.MODEL_CALLS.labels(backend.name, f"cached_{level}").inc()


def note_fallback(caller: Caller, host: Host, level: str, reason: str) -> None:
    """No model answered: the next level of fallback does. level: "rules" or "person"."""
    host.emit("model_fallback", level=level, **{"from": "models"}, to=level, reason=reason)
    metrics.MODEL_FALLBACKS.labels("models", level).inc()
    row = NewCall(
        call_id=uuid7(),
        tenant_id=caller.tenant_id,
        run_id=caller.run_id,
        step=caller.step,
        chain=caller.chain,
        agent_id=caller.agent_id,
        operation="chat",
        provider=level,
        backend=level,
        model="",
        prompt_version="",
        fallback_from="models",
        tokens=0,
        cost=Decimal(0),
    )
    model_calls.open_call(row)
    model_calls.close_call(
        row,
        model_calls.NOTHING,
        status="succeeded",
        error_code=None,
        latency_ms=0.0,
        first_token_ms=None,
        prompt=None,
        answer=None,
    )
