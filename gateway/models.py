"""The door to every model: a node says what it needs, and never who should answer.

    text = ctx.models.chat(messages, language="zh", capability="summarization", max_tokens=200)
    for piece in ctx.models.stream(messages): ...         pieces as they come
    text = ctx.models.show(messages)                      the same, shown to live viewers
    brief = ctx.models.structured(Brief, messages)        an instance of a pydantic model
    vectors = ctx.models.embed(["a sentence", ...])

What happens behind it is told in docs/gateway.md. Every call may raise `NoAnswer` (a Retry: nobody answered now),
`Final` (nobody here can: `no_able_model`, or all of them refused), `Pause` (the tenant's budget is used up) and
`Stopped` (the run is being stopped: the connection to the model is closed within half a second).

After `NoAnswer` and `Final` come the other two levels of fallback, which only the node can take: an answer by its own
rules, told with `by_rules`, or a person's, asked for with `by_person`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway import breaker, dispatch, kept, routing
from gateway.answer import Answer, Vectors, whole
from gateway.attempt import Request
from gateway.backend import CHAT, EMBEDDING, Backend
from gateway.backends.models_file import Configuration, InvalidModelsFile
from gateway.dispatch import NoAnswer
from gateway.host import Host
from gateway.record import note_fallback
from gateway.request import Ask, Caller, Messages
from gateway.wire import embeddings
from gateway.wire.talk import Piece
from node import Final, Pause
from policy import tenant_limits
from settings import settings
from storage import model_policies

__all__ = ["Answer", "Models", "NoAnswer"]

Schema = TypeVar("Schema", bound=BaseModel)


class Models:
    """What a node may ask of models.

    may_fall_back: whether an answer by rules may stand in for a model's.
    """

    def __init__(
        self, configuration: Callable[[], Configuration], caller: Caller, host: Host, *, may_fall_back: bool = True
    ) -> None:
        self._read_configuration = configuration
        self._caller = caller
        self._host = host
        self.may_fall_back = may_fall_back

    def able(self, language: str, capability: str = CHAT) -> Backend | None:
        """Who would be asked for a page of text, for callers whose prompt depends on it, or None.

        Hand it on as `model=`: then only those are asked that are as strong, or as weak. Final: a wrong models file.
        """
        candidates = self._candidates(Ask((), language=language, capability=capability), None)
        healths = breaker.healths([backend.name for backend in candidates])
        return next((one for one in candidates if healths[one.name].state != "open"), None)

    def chat(self, messages: Messages, *, model: Backend | None = None, **wishes: Any) -> Answer:
        """The whole answer. wishes: fields of `gateway.request.Ask`, such as language, max_tokens, tools or cache.

        model: what `able` said, where the prompt was written for it.
        """
        return self._whole(Ask(messages, **wishes), model)

    def stream(
        self,
        messages: Messages,
        *,
        model: Backend | None = None,
        on_restart: Callable[[], None] | None = None,
        **wishes: Any,
    ) -> Iterator[str]:
        """Pieces of the answer's text as they come.

        on_restart: called when a model broke off in the middle and another begins anew: drop what came before. Without
        it such an answer ends in NoAnswer.
        """
        for piece in self._pieces(Ask(messages, **wishes), model, on_restart):
            if piece.text:
                yield piece.text

    def show(self, messages: Messages, *, model: Backend | None = None, **wishes: Any) -> Answer:
        """The whole answer, shown to live viewers as it comes. They are told when it begins anew."""
        return self._whole(Ask(messages, **wishes), model, show=True)

    def structured(
        self, schema: type[Schema], messages: Messages, *, model: Backend | None = None, **wishes: Any
    ) -> Schema:
        """The answer as an instance of the pydantic model; a backend that gives none after two repairs has failed."""
        ask = Ask(messages, schema={"title": schema.__name__, **schema.model_json_schema()}, **wishes)
        return schema.model_validate_json(self._whole(ask, model, schema=schema))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A vector of length 1 for each text, all of one model, `.model`: vectors of two models never compare."""
        found: list[list[float]] = []

        def call(
            backend: Backend, ask: Ask, *, cancelled: Callable[[], bool], seconds_left: Callable[[], float], **_: Any
        ) -> Iterator[Piece]:
            found[:] = embeddings.embed_watched(backend, texts, cancelled=cancelled, seconds_left=seconds_left)
            tokens_in = 0 if backend.kind == "embedded" else None  # no library tells them
            yield Piece("", (), tokens_in, 0, "stop", backend.model)

        messages = [{"role": "user", "content": text} for text in texts]
        request = self._request(Ask(messages, operation="embed", capability=EMBEDDING, max_tokens=1))
        request.call = call
        last = list(dispatch.pieces(request))[-1]
        return Vectors(found, last.model or "")

    def by_rules(self, reason: object) -> None:
        """Say that the node's own rules answer, because no model did: an event, a row in the log, a degraded run."""
        if not self.may_fall_back:
            raise Final(f"fallback is off, and {reason}", code="no_able_model")
        note_fallback(self._caller, self._host, "rules", str(reason))
        self._host.degrade(str(reason))

    def by_person(self, question: str, reason: object, *, timeout_seconds: float | None = None) -> Any:
        """What a person answers instead: the run pauses until somebody does (POST .../answer), once for a step."""
        if self._host.answer is not None:
            return self._host.answer
        note_fallback(self._caller, self._host, "person", str(reason))
        raise Pause("question", question, timeout_seconds=timeout_seconds, reason=str(reason), level="person")

    def _whole(
        self, ask: Ask, model: Backend | None, *, schema: type[BaseModel] | None = None, show: bool = False
    ) -> Answer:
        came: list[Piece] = []

        def restart() -> None:
            came.clear()
            if show:
                self._host.token("", restart=True)

        for piece in self._pieces(ask, model, restart, schema):
            came.append(piece)
            if show and piece.text:
                self._host.token(piece.text)
        return whole(came)

    def _pieces(
        self,
        ask: Ask,
        model: Backend | None,
        on_restart: Callable[[], None] | None,
        schema: type[BaseModel] | None = None,
    ) -> Iterator[Piece]:
        request = self._request(ask, model)
        request.on_restart, request.schema = on_restart, schema
        return kept.pieces(request, self._configuration())

    def _request(self, ask: Ask, model: Backend | None = None) -> Request:
        """The ask with all that it takes to answer it. Final `no_able_model` where nobody is able."""
        candidates = self._candidates(ask, model)
        if not candidates:
            raise Final(f"no model is able: {ask.capability} in {ask.language}", code="no_able_model")
        policy = model_policies.policy_of(self._caller.tenant_id)
        give_up_at = time.monotonic() + settings().model_answer_seconds
        return Request(ask, self._caller, self._host, policy, candidates, give_up_at)

    def _candidates(self, ask: Ask, model: Backend | None) -> list[Backend]:
        configuration = self._configuration()
        healths = breaker.healths([backend.name for backend in configuration.backends])
        by_plan = tenant_limits.of(self._caller.tenant_id).allowed_models
        return routing.order(
            ask,
            [backend for backend in configuration.backends if routing.is_allowed(backend, by_plan)],
            strategy=configuration.routing_strategy,
            median_ms={name: health.median_ms for name, health in healths.items()},
            allowed=model_policies.policy_of(self._caller.tenant_id).allowed_models,
            written_for=model,
        )

    def _configuration(self) -> Configuration:
        try:
            return self._read_configuration()
        except InvalidModelsFile as wrong:
            raise Final(str(wrong), code="models_file_invalid") from wrong
