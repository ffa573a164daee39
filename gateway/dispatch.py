"""Backend after backend until one answers: the first level of fallback.

A backend is passed over while its breaker is open. One that fails before its first token is followed by the next; one
that fails later too, but then what came is void: whoever listens is told to drop it (`on_restart`), or, where it cannot
be told, the request fails. An answer is never put together from two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import metrics
from gateway import breaker
from gateway.attempt import Broken, Request, attempt
from gateway.backend import Backend
from gateway.structured import repaired
from gateway.wire.failures import Failed, as_node_error
from gateway.wire.talk import Piece
from node import Final, Retry
from settings import settings


class NoAnswer(Retry):
    """No backend answered; `reasons` has a line for each that was asked. It may pass."""

    def __init__(self, reasons: Sequence[str], *, after_seconds: float | None = None) -> None:
        super().__init__("no model answered: " + "; ".join(reasons), after_seconds=after_seconds)
        self.reasons = tuple(reasons)


def pieces(request: Request) -> Iterator[Piece]:
    """The answer of the first backend that gives one whole. NoAnswer or Final where none does."""
    failures: list[Failed] = []
    for backend, probe in admitted(request.candidates):
        if failures:
            _note_fallback(request, failures[-1], backend)
        if time.monotonic() >= request.give_up_at:
            break
        begun = time.monotonic()
        try:
            yield from (attempt if request.schema is None else repaired)(request, backend, probe=probe)
            return
        except Broken as broken:
            failures.append(broken.failure)
            _tell_breaker(backend, broken.failure, probe, time.monotonic() - begun)
            if request.on_restart is None:
                raise NoAnswer([f"{broken.failure}, in the middle of its answer"]) from broken
            _restart(request, backend)
        except Failed as failure:
            failures.append(failure)
            _tell_breaker(backend, failure, probe, time.monotonic() - begun)
            if not failure.elsewhere:
                break
    raise _no_answer(request.candidates, failures)


def _restart(request: Request, backend: Backend) -> None:
    """What came so far is void; the next backend begins anew, and has as long as the first one had."""
    assert request.on_restart is not None
    request.on_restart()
    request.host.emit("model_restarted", backend=backend.name)
    request.give_up_at = time.monotonic() + settings().model_answer_seconds


def admitted(candidates: Sequence[Backend]) -> Iterator[tuple[Backend, bool]]:
    """The candidates whose breaker lets a call through, and whether it is a probe; who recovers comes last, mostly."""
    names = [backend.name for backend in candidates]
    later = []
    for backend in candidates:
        gate = breaker.gate(backend.name, breaker.healths(names)[backend.name], backend.first_token_seconds + 5)
        if gate == "rather not":
            later.append(backend)
        elif gate != "no":
            yield backend, gate == "probe"
    for backend in later:
        yield backend, False


def _tell_breaker(backend: Backend, failure: Failed, probe: bool, seconds: float) -> None:
    """A failure counts where it speaks against the backend; a server that asks for a pause gets it.

    Silence speaks against it only where it had its whole time: a caller in a hurry proves nothing.
    """
    hurried = failure.kind == "timeout" and seconds < 0.9 * backend.first_token_seconds
    if failure.kind == "rate_limited":
        if failure.retry_after_seconds:
            breaker.busy(backend.name, failure.retry_after_seconds)
        elif probe:
            breaker.undecided(backend.name)
    elif failure.kind in AGAINST and not hurried:
        breaker.failed(backend.name, probe=probe)
    elif probe:
        breaker.undecided(backend.name)


AGAINST = frozenset(
    {"refused_connection", "timeout", "server_error", "garbled", "empty", "too_large", "access_denied", "not_found"}
)


def _note_fallback(request: Request, failure: Failed, to: Backend) -> None:
    request.fallback_from = failure.backend
    metrics.MODEL_FALLBACKS.labels(failure.backend, to.name).inc()
    request.host.emit("model_fallback", level="model", **{"from": failure.backend}, to=to.name, reason=failure.kind)


def _no_answer(candidates: Sequence[Backend], failures: Sequence[Failed]) -> Retry | Final:
    if not failures:
        open_for = [health.open_for_seconds for health in breaker.healths([one.name for one in candidates]).values()]
        return NoAnswer(
            ["every able model failed too often and is left alone"], after_seconds=min(open_for, default=1.0)
        )
    errors = [as_node_error(failure) for failure in failures]
    if all(isinstance(error, Final) for error in errors):
        return errors[0]
    waits = [error.after_seconds for error in errors if isinstance(error, Retry) and error.after_seconds is not None]
    return NoAnswer([str(failure) for failure in failures], after_seconds=min(waits, default=None))
