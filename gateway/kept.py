"""An answer from the cache where the ask allows that, else a model's, which is then kept for the next who asks."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import dispatch
from gateway.answer import again, to_keep, whole
from gateway.attempt import Request
from gateway.backends.models_file import Configuration
from gateway.cache import lookup as cache
from gateway.record import note_cached
from gateway.wire.talk import Piece
from settings import settings


def pieces(request: Request, configuration: Configuration) -> Iterator[Piece]:
    """The answer's pieces. Of identical calls at the same moment one asks a model, the others wait for it."""
    if request.ask.cache == "none":
        yield from dispatch.pieces(request)
        return
    first = request.candidates[0]
    found = cache.look(request.ask, request.caller, first.model, configuration)
    if isinstance(found, cache.Miss):
        seconds = settings().model_answer_seconds
        with cache.flight(found, seconds=seconds, cancelled=lambda: request.host.cancelled) as earlier:
            if earlier is None:
                yield from _asked(request, found)
                return
        found = cache.Hit("l1", earlier)
    note_cached(request, first, found.level)
    yield again(found)


def _asked(request: Request, miss: cache.Miss) -> Iterator[Piece]:
    """A model's answer, kept unless it was cut off or another model than the key's stood in."""
    came: list[Piece] = []
    for piece in dispatch.pieces(request):
        came.append(piece)
        yield piece
    answer = whole(came)
    if request.fallback_from is None and answer.finish_reason != "length":
        cache.keep(miss, to_keep(answer))
