"""Backend after backend until one answers: the first level of fallback.

A backend is passed over while its breaker is open. One that fails before its first token is followed by the next; one
that fails later too, but then what came is void: whoever listens is told to drop it (`on_restart`), or, where it cannot
be told, the request fails. An answer is never put together from two.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

import metrics
from gateway import breaker
from gateway.attempt import Broken, Request, attempt, own_silence_seconds
from gateway.backend import Backend
from gateway.structured import repaired
from gateway.wire.failures import Failed, FailureKind, as_node_error
from gateway.wire.talk import Piece
from node import Final, Retry
from settings import settings

# What speaks against a backend; what the caller asked for wrongly, or one schema that it cannot hold, does not.
AGAINST: frozenset[FailureKind] = frozenset(
    {"refused_connection", "timeout", "server_error", "garbled", "empty", "too_large", "access_denied", "not_found"}
)
LEAST_WAIT_SECONDS = 0.5
PASSED_OVER = "breaker_open"


class NoAnswer(Retry):
    """No backend answered; `reasons` has a line for each that was asked. It may pass."""

    def __init__(self, reasons: Sequence[str], *, after_seconds: float | None = None) -> None:
        super().__init__("no model answered: " + "; ".join(reasons), after_seconds=after_seconds)
        self.reasons = tuple(reasons)


def pieces(request: Request) -> Iterator[Piece]:
    """The answer of the first backend that gives one whole. NoAnswer or Final where none does."""
    failures: list[Failed] = []
    for backend, probe in admitted(request):
        if request.left_behind is not None:
            _note_fallback(request, backend)
        decided, begun = False, time.monotonic()
        try:
            yield from (attempt if request.schema is None else repaired)(request, backend, probe=probe)
            decided, request.answered_by = True, backend.name
            return
        except (Broken, Failed) as error:
            failure = error.failure if isinstance(error, Broken) else error
            decided = _tell_breaker(backend, failure, probe, time.monotonic() - begun)
            failures.append(failure)
            if isinstance(error, Broken):
                _restart(request, failure)
            request.left_behind = (backend.name, failure.kind)
        finally:
            if probe and not decided:
                breaker.undecided(backend.name)
        if not failures[-1].elsewhere:
            break
    raise _no_answer(request, failures)


def admitted(request: Request) -> Iterator[tuple[Backend, bool]]:
    """The candidates whose breaker lets a call through, while there is time, and whether the call is a probe.

    Those that recover come last, mostly; where there is nobody else, calls come back to them spread over a while.
    """
    names = [backend.name for backend in request.candidates]
    recovering = []
    for backend in request.candidates:
        if request.is_over():
            return
        gate = breaker.gate(backend.name, breaker.healths(names)[backend.name], backend.first_token_seconds + 5)
        if gate == "rather not":
            recovering.append(backend)
        elif gate == "no":
            request.left_behind = request.left_behind or (backend.name, PASSED_OVER)
        else:
            yield backend, gate == "probe"
    for backend in recovering:
        if len(names) == 1:
            request.wait(random.uniform(0, breaker.healths(names)[backend.name].ramp_seconds / 2))
        if not request.is_over():
            yield backend, False


def _restart(request: Request, failure: Failed) -> None:
    """What came so far is void; the next backend begins anew, and has as long as the first one had."""
    if request.on_restart is None:
        raise NoAnswer([f"{failure}, in the middle of its answer"]) from failure
    request.on_restart()
    request.host.emit("model_restarted", backend=failure.backend)
    request.give_up_at = time.monotonic() + settings().model_answer_seconds


def _tell_breaker(backend: Backend, failure: Failed, probe: bool, seconds: float) -> bool:
    """Count a failure that speaks against the backend; False where it says nothing of it.

    A server that asks for a pause gets it. Silence counts where it had its time: a caller in a hurry proves nothing.
    """
    if failure.kind == "timeout" and seconds < 0.9 * own_silence_seconds(backend):
        return False
    if failure.kind == "rate_limited" and failure.retry_after_seconds:
        breaker.busy(backend.name, failure.retry_after_seconds)
        return True
    if failure.kind in AGAINST or failure.kind == "rate_limited":
        breaker.failed(backend.name, probe=probe)
        return True
    return False


def _note_fallback(request: Request, to: Backend) -> None:
    assert request.left_behind is not None
    name, reason = request.left_behind
    request.fallback_from, request.left_behind = name, None
    metrics.MODEL_FALLBACKS.labels(name, to.name).inc()
    request.host.emit("model_fallback", level="model", **{"from": name}, to=to.name, reason=reason)


def _no_answer(request: Request, failures: Sequence[Failed]) -> Retry | Final:
    """Final where every one that was asked refused for good; else when to ask again, and not all at once."""
    errors = [as_node_error(failure) for failure in failures]
    if errors and all(isinstance(error, Final) for error in errors):
        return errors[0]
    reasons = [str(failure) for failure in failures]
    waits = [failure.retry_after_seconds for failure in failures if failure.retry_after_seconds is not None]
    if not failures:
        healths = breaker.healths([backend.name for backend in request.candidates]).values()
        waits = [health.open_for_seconds for health in healths]
        reasons = ["there is no time left" if request.is_over() else "every able model failed too often of late"]
    if not waits:
        return NoAnswer(reasons)
    return NoAnswer(reasons, after_seconds=max(LEAST_WAIT_SECONDS, min(waits)) * random.uniform(1.0, 1.5))
