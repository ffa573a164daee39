"""Rows of the call log for answers that no model was asked for: from the cache, by a node's rules, by a person."""

from __future__ import annotations

import metrics
from gateway.attempt import Request, new_row, row_of
from gateway.backend import Backend
from gateway.host import Host
from gateway.request import Caller
from storage import model_calls
from storage.model_calls import Level


def note_cached(request: Request, backend: Backend, level: Level) -> None:
    """An answer that was given before; backend: who would have been asked."""
    model_calls.cached_call(row_of(request, backend), level)
    metrics.MODEL_CALLS.labels(backend.name, f"cached_{level}").inc()


def note_fallback(caller: Caller, host: Host, level: str, reason: str) -> None:
    """No model answered: the next level of fallback does. level: "rules" or "person"."""
    host.emit("model_fallback", level=level, **{"from": "models"}, to=level, reason=reason)
    metrics.MODEL_FALLBACKS.labels("models", level).inc()
    row = new_row(caller, operation="chat", provider=level, backend=level, model="", fallback_from="models")
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
