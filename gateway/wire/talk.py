"""One call of one model, and nothing else: no breaker, no budget, no cache.

    for piece in talk.stream(backend, ask, cancelled=..., seconds_left=...):
        piece.text ...

An answer is whole only when its last piece, the one with a finish reason, has come: a connection that is cut may look
like a normal end. Whatever goes wrong is `failures.Failed`; whether text has come before it is the caller's to know.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.backend import Backend
from gateway.backends.embedded import comes_up
from gateway.request import Ask, text_of
from gateway.wire import providers
from gateway.wire.failures import Failed, FailureKind, failed
from gateway.wire.pieces import Piece, ToolCalls, piece_of
from gateway.wire.watch import MAX_CALL_BYTES, Watch, watched
from node import Stopped

__all__ = ["Piece", "stream"]

SPARE_BYTES = 64 * 1024
BYTES_A_TOKEN = 1024
AFTER_END_SECONDS = 1.0  # the model has ended: so long its numbers are waited for


def stream(
    backend: Backend,
    ask: Ask,
    *,
    cancelled: Callable[[], bool],
    seconds_left: Callable[[], float],
    first_token_seconds: float | None = None,
    begin_seconds: float = math.inf,
) -> Iterator[Piece]:
    """The answer's pieces as they come; the last one has the finish reason, whole tool calls and numbers.

    first_token_seconds: how long the model may be silent at first (default: the backend's limit, which holds between
    two pieces as well); a model that thinks is not silent, but must come to a text or a tool call in `begin_seconds`.
    Raises Failed, or Stopped within half a second of a cancel. A piece without text may come before a Failed: it
    has the numbers of what was billed.
    """
    call = _Call(
        backend, ask, cancelled, seconds_left, first_token_seconds or backend.first_token_seconds, begin_seconds
    )
    try:
        yield from call.pieces()
        return
    except Failed as failure:
        starting = backend.kind == "embedded" and failure.kind in ("refused_connection", "server_error")
        # The embedded model that is just starting, or starting again, is asked once more as soon as it is up.
        if call.begun or not starting or not comes_up(backend.endpoint, cancelled):
            raise
    yield from replace(call).pieces()


@dataclass
class _Call:
    """One request to the backend, and what it has told so far."""

    backend: Backend
    ask: Ask
    cancelled: Callable[[], bool]
    seconds_left: Callable[[], float]
    first_token_seconds: float
    begin_seconds: float
    last: Piece = field(default_factory=Piece, init=False)  # numbers and end as far as they are told
    chunks: int = field(default=0, init=False)
    begun: bool = field(default=False, init=False)

    def pieces(self) -> Iterator[Piece]:
        model = providers.chat_model(self.backend)  # the first one imports its library: that is not the model's time
        messages, options = self._messages(), self._options()
        tool = providers.answer_tool(self.backend, self.ask)
        calls = ToolCalls(tool)
        now = time.monotonic()
        end_at = now + min(self.backend.timeout_seconds, self.seconds_left())
        begin_at = now + self.begin_seconds
        # Servers send 150 to 400 bytes a token: more than this is no answer, and to read it costs a minute of work.
        max_bytes = min(MAX_CALL_BYTES, SPARE_BYTES + BYTES_A_TOKEN * providers.answer_tokens(self.backend, self.ask))
        watch = Watch(self.cancelled, min(end_at, begin_at, now + self.first_token_seconds), max_bytes)
        said = False
        with closing(model.stream(messages, **options)) as chunks:
            while (chunk := self._next(chunks, watch)) is not None:
                self.chunks += 1
                piece, answer = self._read(chunk, calls)
                text = answer if tool else piece.text
                self.last = _joined(self.last, piece)
                self.begun = self.begun or bool(text or chunk.tool_call_chunks)
                if text:
                    said, given_at = True, time.monotonic()
                    yield Piece(text=text)
                    end_at += time.monotonic() - given_at  # a slow listener is not a slow model
                watch.deadline = min(end_at, begin_at if not self.begun else end_at, self._silent_until(watch.deadline))
        yield from self._end(calls, said)

    def _silent_until(self, before: float) -> float:
        now = time.monotonic()
        if self.last.finish_reason:
            return now + AFTER_END_SECONDS
        if self.begun:
            return now + self.backend.first_token_seconds
        # The first empty chunk is a greeting; further ones come from a model that thinks.
        return before if self.chunks == 1 else now + self.first_token_seconds

    def _next(self, chunks: Iterator[Any], watch: Watch) -> Any:
        """The next chunk, or None at the end. Watched while it waits only: between pieces the thread is the node's."""
        if watch.cancelled():
            raise Stopped
        if watch.seconds_left() <= 0:
            if self.last.finish_reason:
                return None
            raise self._failed("timeout", "no time left")
        try:
            with watched(watch):
                return next(chunks, None)
        except Exception as error:
            if watch.cancelled():
                raise Stopped from None
            if self.last.finish_reason:
                return None  # the answer is whole; only what comes after it was lost
            texts = [text_of(message) for message in self.ask.messages]
            # from None: the library's own error quotes keys and prompts, and logs show causes.
            raise failed(error, self.backend, prompt=texts, begun=self.chunks > 0) from None

    def _read(self, chunk: Any, calls: ToolCalls) -> tuple[Piece, str]:
        try:
            return piece_of(chunk), calls.take(chunk)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._failed("garbled", "a piece that is none") from None

    def _options(self) -> dict[str, Any]:
        try:
            return providers.call_options(self.backend, self.ask)
        except (AttributeError, KeyError, TypeError, ValueError) as wrong:
            message = f"the tools or the schema have a wrong form ({type(wrong).__name__})"
            raise Failed(self.backend.name, "refused_request", message, elsewhere=False) from None

    def _messages(self) -> list[Any]:
        from langchain_core.messages import convert_to_messages

        try:
            return convert_to_messages([dict(message) for message in self.ask.messages])
        except Exception as wrong:
            message = f"the messages have a wrong form ({type(wrong).__name__})"
            raise Failed(self.backend.name, "refused_request", message, elsewhere=False) from None

    def _failed(self, kind: FailureKind, message: str) -> Failed:
        return Failed(self.backend.name, kind, message)

    def _end(self, calls: ToolCalls, said: bool) -> Iterator[Piece]:
        last = self.last
        problem: Failed | None = None
        whole: tuple[dict[str, Any], ...] = ()
        if last.finish_reason is None:
            problem = self._failed("garbled", "the answer broke off")
        elif last.finish_reason == "refusal":
            problem = self._failed("refusal", "it did not want to answer")
        else:
            try:
                whole = calls.complete()
            except ValueError:
                problem = self._failed("garbled", "a tool call that is none")
            if not (said or whole or problem):
                # All its tokens went into thinking: the same request would end the same way.
                spent = last.finish_reason == "length"
                message = "its tokens were used up before it said anything" if spent else "it said nothing"
                problem = Failed(self.backend.name, "empty", message, passing=not spent)
        if problem is None:
            ended = last.finish_reason if last.finish_reason == "length" else "tool_calls" if whole else "stop"
            yield replace(last, tool_calls=whole, finish_reason=ended)
            return
        if last.tokens_in or last.tokens_out:
            yield replace(last, finish_reason=None)
        raise problem


def _joined(last: Piece, piece: Piece) -> Piece:
    """The numbers and the end as far as they are told; providers tell them in chunks of their own, one or several."""
    return Piece(
        tokens_in=piece.tokens_in or last.tokens_in,
        tokens_out=piece.tokens_out or last.tokens_out,
        finish_reason=piece.finish_reason or last.finish_reason,
        model=piece.model or last.model,
    )
