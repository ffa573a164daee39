"""An answer from the cache where the ask allows that, else a model's, which is then kept for the next who asks."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import dispatch
from gateway.answer import again, to_keep, whole
from gateway.attempt import Request
from gateway.backends.models_file import Configuration
from gateway.cache import lookup
from gateway.record import note_cached
from gateway.wire.talk import Piece
from settings import settings


def pieces(request: Request, configuration: Configuration) -> Iterator[Piece]:
    """The answer's pieces. Of identical calls at the same moment one asks a model, the others wait for it.

    They wait for a third of the time that anybody has, so that there is enough left to ask for themselves.
    """
    if request.ask.cache == "none":
        yield from dispatch.pieces(request)
        return
    first = request.candidates[0]
    found = lookup.look(request.ask, request.caller, first.model, configuration)
    if isinstance(found, lookup.Miss):
        seconds = settings().model_answer_seconds / 3
        with lookup.flight(found, seconds=seconds, cancelled=lambda: request.host.cancelled) as earlier:
            if earlier is None:
                yield from _asked(request, found)
                return
        found = lookup.Hit("l1", earlier)
    note_cached(request, first, found.level)
    yield again(found)


def _asked(request: Request, miss: lookup.Miss) -> Iterator[Piece]:
    """A model's answer. It is kept unless it was cut off, or is not that of the model which the key names."""
    came: list[Piece] = []
    told = request.on_restart

    def restart() -> None:
        came.clear()
        if told is not None:
            told()

    request.on_restart = restart if told is not None else None
    for piece in dispatch.pieces(request):
        came.append(piece)
        yield piece
    answer = to_keep(whole(came), request.answered_by or "")
    if request.answered_by == request.candidates[0].name and answer.finish_reason != "length":
        lookup.keep(miss, answer)
    else:
        lookup.share(miss, answer)
