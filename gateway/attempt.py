"""One backend's turn at a request: reserve the budget, call the model, settle and note what came of it.

`attempt` is a generator of pieces. Each try is a row of `llm_call_logs`: whatever happens (an error, a cancel, a caller
that stops listening), its reservation is settled and the breaker told.
A worker that dies in the middle leaves the row open, and upkeep settles it (storage/model_calls.py).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

import metrics
import telemetry
from gateway import breaker
from gateway.backend import Backend
from gateway.host import Host
from gateway.request import Ask, Caller, estimated_tokens, text_of
from gateway.wire import talk
from gateway.wire.failures import Failed
from gateway.wire.talk import Piece
from node import Pause
from policy import limiter, tenant_limits
from policy.pii.mask import masked
from settings import settings
from storage import model_calls
from storage.model_calls import Exhausted, NewCall, Status, Usage
from storage.model_policies import Policy
from storage.tables import uuid7

LONGEST_PAUSE_SECONDS = 2.0  # a server that wants more is left for the next one
PAUSE_SECONDS = (0.1, 0.5)
ELSEWHERE_FIRST = frozenset({"refused_connection", "timeout"})  # another try is for who has no other backend
SETTLING_SECONDS = 5.0  # calls in flight hold the rest of the budget: so long until it is looked at again
MAX_ANSWER_CHARACTERS = 1_000_000


class Broken(Exception):
    """The answer broke off after some of it had been given."""

    def __init__(self, failure: Failed) -> None:
        super().__init__(str(failure))
        self.failure = failure


Talk = Callable[..., Iterator[Piece]]


@dataclass
class Request:
    """An ask on its way through the backends.

    candidates: the able backends in their order; give_up_at: monotonic, nobody waits for a first token after it;
    on_restart: tells whoever listens to drop what came; schema: what the answer must be an instance of; call: what is
    done at a backend; left_behind: who was passed over or failed last, and why, until it is told; fallback_from: who
    that was; answered_by: who gave the answer in the end.
    """

    ask: Ask
    caller: Caller
    host: Host
    policy: Policy
    candidates: Sequence[Backend]
    give_up_at: float
    on_restart: Callable[[], None] | None = None
    schema: type[BaseModel] | None = None
    call: Talk = talk.stream
    left_behind: tuple[str, str] | None = None
    fallback_from: str | None = None
    answered_by: str | None = None

    def is_over(self) -> bool:
        """Whether nobody waits for a first token any more."""
        return time.monotonic() >= self.give_up_at

    def wait(self, seconds: float) -> None:
        """Wait, unless the run is stopped or the time is over."""
        until = min(time.monotonic() + seconds, self.give_up_at)
        while (left := until - time.monotonic()) > 0:
            self.host.check()
            time.sleep(min(0.1, left))


def attempt(request: Request, backend: Backend, *, probe: bool) -> Iterator[Piece]:
    """The backend's answer. Failed where there is none, Broken where it ends in the middle, Pause without a budget.

    A failure that may pass is tried again at this backend `backend.retries` times, after the server's Retry-After or a
    moment of chance, as long as nothing of an answer was given on. A probe has one try.
    """
    tries = Retrying(
        stop=stop_after_attempt(1 if probe else 1 + backend.retries),
        retry=retry_if_exception(lambda error: _worth_another_try(request, error)),
        wait=_pause_seconds,
        sleep=request.wait,
        reraise=True,
    )
    for one in tries:
        with one:
            yield from _one_try(request, backend, probe)


def _worth_another_try(request: Request, error: BaseException) -> bool:
    """Whether to stay with this backend: not where it would cost more time than asking the next one."""
    if not isinstance(error, Failed) or not error.passing:
        return False
    slow = error.kind in ELSEWHERE_FIRST or (error.retry_after_seconds or 0) > LONGEST_PAUSE_SECONDS
    return not slow if len(request.candidates) > 1 else (error.retry_after_seconds or 0) <= LONGEST_PAUSE_SECONDS


def _pause_seconds(state: RetryCallState) -> float:
    """The server's Retry-After and a little more, so that not everybody comes back in the same moment."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, Failed) else None
    return (asked or 0.0) + random.uniform(*PAUSE_SECONDS)


@dataclass
class _Tally:
    """What a try gave so far; times are monotonic seconds."""

    begun: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    texts: list[str] = field(default_factory=list)
    characters: int = 0
    tokens_in: int | None = None
    tokens_out: int | None = None
    model: str | None = None
    finish_reason: str | None = None

    def add(self, piece: Piece) -> None:
        if (piece.text or piece.tool_calls) and self.first_token_at is None:
            self.first_token_at = time.monotonic()
        self.texts.append(piece.text)
        self.characters += len(piece.text)
        self.tokens_in = self.tokens_in if piece.tokens_in is None else piece.tokens_in
        self.tokens_out = self.tokens_out if piece.tokens_out is None else piece.tokens_out
        self.model = piece.model or self.model
        self.finish_reason = piece.finish_reason or self.finish_reason

    @property
    def latency_ms(self) -> float:
        return (time.monotonic() - self.begun) * 1000

    @property
    def first_token_ms(self) -> float | None:
        return None if self.first_token_at is None else (self.first_token_at - self.begun) * 1000

    def usage(self, ask: Ask, backend: Backend, *, answered: bool) -> Usage:
        """The provider's numbers, else an estimate of what was read and said; nothing where nothing was said."""
        estimated = self.tokens_in is None or self.tokens_out is None
        said = answered or self.first_token_at is not None
        tokens_in = self.tokens_in if self.tokens_in is not None else ask.tokens_in if said else 0
        tokens_out = self.tokens_out if self.tokens_out is not None else estimated_tokens("".join(self.texts))
        return Usage(tokens_in, tokens_out, backend.price(tokens_in, tokens_out), estimated and said)


def _one_try(request: Request, backend: Backend, probe: bool) -> Iterator[Piece]:
    row = _reserve(request, backend)
    tally = _Tally()
    status: Status = "cancelled"
    code: str | None = None
    try:
        for piece in request.call(
            backend,
            request.ask,
            cancelled=lambda: request.host.cancelled,
            seconds_left=request.host.seconds_left,
            first_token_seconds=_first_token_seconds(request, backend),
            begin_seconds=max(0.05, request.give_up_at - time.monotonic()),
        ):
            tally.add(piece)
            if tally.characters > MAX_ANSWER_CHARACTERS:
                raise Failed(backend.name, "too_large", f"more than {MAX_ANSWER_CHARACTERS:,} characters")
            yield piece
        status = "succeeded"
    except Failed as failure:
        status, code = "failed", failure.kind
        raise (Broken(failure) if tally.first_token_at else failure) from failure
    finally:
        _settle(request, backend, row, tally, status, code, probe)


def own_silence_seconds(backend: Backend) -> float:
    """How long a backend may be silent at first: its own limit, but no more than half of the time for the answer.

    So there is always time left to ask another one.
    """
    return min(backend.first_token_seconds, settings().model_answer_seconds / 2)


def _first_token_seconds(request: Request, backend: Backend) -> float:
    own = own_silence_seconds(backend) if len(request.candidates) > 1 else backend.first_token_seconds
    return max(0.05, min(own, request.give_up_at - time.monotonic()))


def new_row(caller: Caller, **about: Any) -> NewCall:
    """A row of the call log for a caller; about: the other fields of NewCall."""
    return NewCall(
        call_id=uuid7(),
        tenant_id=caller.tenant_id,
        run_id=caller.run_id,
        step=caller.step,
        chain=caller.chain,
        agent_id=caller.agent_id,
        **about,
    )


def row_of(request: Request, backend: Backend) -> NewCall:
    """The call log's row of one try, with what it may cost at most."""
    ask = request.ask
    return new_row(
        request.caller,
        operation=ask.operation,
        provider=backend.kind,
        backend=backend.name,
        model=backend.model,
        prompt_version=ask.prompt_version,
        fallback_from=request.fallback_from,
        tokens=ask.tokens_in + ask.answer_tokens,
        cost=backend.price(ask.tokens_in, ask.answer_tokens),
    )


def _reserve(request: Request, backend: Backend) -> NewCall:
    """Take what the call may cost at most from the tenant's budget, and open its row. Pause where it is used up."""
    row = row_of(request, backend)
    try:
        limits = tenant_limits.of(row.tenant_id)
        model_calls.open_call(row, tokens_per_day=limits.tokens_per_day)
    except Exhausted as exhausted:
        raise _pause(exhausted) from exhausted
    return row


def _pause(exhausted: Exhausted) -> Pause:
    """The run waits: for calls in flight to give back what they do not use, or for the next day."""
    seconds = SETTLING_SECONDS if exhausted.until_settled else exhausted.seconds_to_next_day + random.uniform(0, 30)
    question = (
        f"Today's budget of {exhausted.what} for models ({exhausted.limit:f}) does not hold a call that may need "
        f"{exhausted.needed:f}. Raise it, or wait for the next day."
    )
    return Pause("budget", question, timeout_seconds=seconds, on_timeout="again", budget=exhausted.what)


def _settle(
    request: Request, backend: Backend, row: NewCall, tally: _Tally, status: Status, code: str | None, probe: bool
) -> None:
    """Write down how the try ended: the breaker and the medians, the budget and the row, metrics and a span."""
    answered = status == "succeeded"
    if answered:
        breaker.succeeded(backend.name, tally.first_token_ms or tally.latency_ms, probe=probe)
    usage = tally.usage(request.ask, backend, answered=answered)
    keep = request.policy.record_text
    used_today = model_calls.close_call(
        row,
        usage,
        status=status,
        error_code=code,
        latency_ms=tally.latency_ms,
        first_token_ms=tally.first_token_ms,
        prompt=_shown(request.ask) if keep else None,
        answer=masked("".join(tally.texts)) if keep else None,
    )
    limiter.spent(row.tenant_id, usage.tokens_in + usage.tokens_out, used_today=used_today)
    metrics.TOKENS.labels(request.caller.agent_id, backend.model).inc(usage.tokens_in + usage.tokens_out)
    metrics.TENANT_TOKENS.labels(metrics.tenant(request.caller.tenant_id)).inc(usage.tokens_in + usage.tokens_out)
    metrics.MODEL_CALLS.labels(backend.name, status if code is None else code).inc()
    if tally.first_token_ms is not None:
        metrics.MODEL_FIRST_TOKEN_SECONDS.labels(backend.name).observe(tally.first_token_ms / 1000)
    telemetry.model_span(
        operation=request.ask.operation,
        provider=backend.kind,
        model=backend.model,
        answered_by=tally.model,
        seconds=tally.latency_ms / 1000,
        tokens_in=usage.tokens_in,
        tokens_out=usage.tokens_out,
        finish_reason=tally.finish_reason,
        max_tokens=request.ask.max_tokens,
        temperature=request.ask.temperature,
        error=code,
    )


def _shown(ask: Ask) -> list[dict[str, str]]:
    """The messages as the log may keep them."""
    return [{"role": str(one.get("role", "")), "content": masked(text_of(one))} for one in ask.messages]
