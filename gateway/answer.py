"""A whole answer: put together from a stream's pieces, and to and from the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.cache.lookup import CachedAnswer, Hit
from gateway.wire.pieces import FINISH_REASONS, Piece


class Answer(str):
    """A model's text, and beside it who said it and how it ended.

    tool_calls: [{"id", "name", "args"}]; finish_reason: "stop", "length" or "tool_calls"; cache_level: "l1", "l2" or
    "l3" where it was answered before.
    """

    model: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    finish_reason: str | None = None
    cache_level: str | None = None


class Vectors(list[list[float]]):
    """Embeddings, and which model made them."""

    def __init__(self, vectors: Sequence[list[float]], model: str) -> None:
        super().__init__(vectors)
        self.model = model


def whole(pieces: Sequence[Piece]) -> Answer:
    """The answer whose pieces these are."""
    answer = Answer("".join(piece.text for piece in pieces))
    answer.tool_calls = tuple(call for piece in pieces for call in piece.tool_calls)
    answer.model = next((piece.model for piece in reversed(pieces) if piece.model), "")
    answer.finish_reason = next((piece.finish_reason for piece in reversed(pieces) if piece.finish_reason), None)
    answer.cache_level = next((piece.cache_level for piece in pieces if piece.cache_level), None)
    return answer


def to_keep(answer: Answer, backend: str) -> CachedAnswer:
    """The answer as the cache keeps it. backend: who gave it."""
    return CachedAnswer(str(answer), answer.tool_calls, answer.model, backend, answer.finish_reason)


def again(hit: Hit) -> Piece:
    """An earlier answer, as a stream of one piece."""
    kept = hit.answer
    calls = tuple(dict(call) for call in kept.tool_calls)
    reason = FINISH_REASONS.get(kept.finish_reason or "", "stop")
    return Piece(kept.text, calls, finish_reason=reason, model=kept.model or None, cache_level=hit.level)
