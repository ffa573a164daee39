"""The door to every model: `chat`, `stream` and `structured`, for whoever says what it needs.

    model = ctx.models.able("en")                       # None: nobody here knows the language
    for piece in ctx.models.stream(messages, model=model, max_tokens=80):
        ctx.token(piece)

Messages are {"role", "content"} objects. Every call may raise Retry (busy, broken or slow), Final (refused) and Stopped
(the run is being stopped: the connection is closed within half a second, whether or not the model says something).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

import metrics
from gateway import providers
from gateway.backend import Backend
from gateway.embedded import comes_up
from gateway.failures import node_error
from gateway.models_file import InvalidModelsFile
from gateway.watch import Watch, watched
from node import Final, Retry, Stopped

Messages = Sequence[Mapping[str, str]]
Schema = TypeVar("Schema", bound=BaseModel)
REPAIRS = 2


class Models:
    """What a node may ask of models.

    may_fall_back: whether an answer by rules may stand in for a model's; agent_id: who the tokens are counted for.
    """

    def __init__(
        self,
        backends: Callable[[], Sequence[Backend]],
        *,
        cancelled: Callable[[], bool] = lambda: False,
        seconds_left: Callable[[], float] = lambda: float("inf"),
        may_fall_back: bool = True,
        agent_id: str = "",
    ) -> None:
        self._backends = backends
        self._cancelled = cancelled
        self._seconds_left = seconds_left
        self.may_fall_back = may_fall_back
        self._agent_id = agent_id

    def able(self, language: str, capability: str = "chat") -> Backend | None:
        """The preferred backend that knows the language and has the capability, or None. Final: a wrong models file."""
        try:
            return next((backend for backend in self._backends() if backend.is_able(language, capability)), None)
        except InvalidModelsFile as wrong:
            raise Final(str(wrong), code="models_file_invalid") from wrong

    def chat(self, messages: Messages, *, model: Backend | None = None, language: str = "en", **options: Any) -> str:
        """The whole answer. Options as in `stream`."""
        return "".join(self.stream(messages, model=model, language=language, **options))

    def stream(
        self,
        messages: Messages,
        *,
        model: Backend | None = None,
        language: str = "en",
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[str]:
        """Pieces of the answer's text as they come. Final `no_able_model` where nobody knows the language."""
        backend = self._chosen(model, language)
        return self._pieces(
            backend, messages, providers.call_options(backend, max_tokens, temperature, seed), timeout_seconds
        )

    def structured(
        self,
        schema: type[Schema],
        messages: Messages,
        *,
        model: Backend | None = None,
        language: str = "en",
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Schema:
        """The answer as an instance of the pydantic model. Retry where it is none after two repairs."""
        backend = self._chosen(model, language)
        options = providers.call_options(backend, max_tokens, temperature, seed)
        options |= providers.schema_option(backend, schema.__name__, schema.model_json_schema())
        talk = list(messages)
        for _ in range(1 + REPAIRS):
            text = "".join(self._pieces(backend, talk, options, timeout_seconds))
            try:
                return schema.model_validate_json(unfenced(text))
            except ValidationError as wrong:
                mistake = wrong.errors()[0]
                place = ".".join(str(part) for part in mistake["loc"]) or "the answer"
                repair = f"{place}: {mistake['msg']}. Answer again, with JSON of the schema only."
                talk = [*messages, {"role": "assistant", "content": text}, {"role": "user", "content": repair}]
        raise Retry(f"model {backend.name}: no valid {schema.__name__} after {REPAIRS} repairs")

    def _chosen(self, model: Backend | None, language: str) -> Backend:
        backend = model or self.able(language)
        if backend is None:
            raise Final(f"no model is able in {language}", code="no_able_model")
        return backend

    def _pieces(
        self, backend: Backend, messages: Messages, options: Mapping[str, Any], timeout_seconds: float | None
    ) -> Iterator[str]:
        """One call, and for the embedded model that is just starting (again) a second one as soon as it is up."""
        silent = True
        try:
            for piece in self._one_call(backend, messages, options, timeout_seconds):
                silent = False
                yield piece
        except Retry:
            if not silent or backend.kind != "embedded" or not comes_up(backend.endpoint, self._cancelled):
                raise
        else:
            return
        yield from self._one_call(backend, messages, options, timeout_seconds)

    def _one_call(
        self, backend: Backend, messages: Messages, options: Mapping[str, Any], timeout_seconds: float | None
    ) -> Iterator[str]:
        model = providers.chat_model(backend)  # the first one imports its library: that is not the model's time
        limit_seconds = min(timeout_seconds or backend.timeout_seconds, self._seconds_left())
        watch = Watch(self._cancelled, time.monotonic() + limit_seconds)
        with closing(model.stream(list(messages), **options)) as chunks:
            while (chunk := self._next(chunks, watch, backend)) is not None:
                if usage := getattr(chunk, "usage_metadata", None):
                    metrics.TOKENS.labels(self._agent_id, backend.model).inc(usage["total_tokens"])
                if chunk.text:
                    yield str(chunk.text)

    def _next(self, chunks: Iterator[Any], watch: Watch, backend: Backend) -> Any:
        """The next chunk, or None at the end. Watched while it waits only: between pieces the thread is the node's."""
        if watch.cancelled():
            raise Stopped
        try:
            with watched(watch):
                return next(chunks, None)
        except Exception as error:
            if watch.cancelled():
                raise Stopped from error
            raise node_error(error, backend.name) from error


def unfenced(text: str) -> str:
    """The JSON inside a Markdown fence, which some models put around it."""
    stripped = text.strip()
    if stripped.startswith("```"):
        return stripped.strip("`").removeprefix("json").strip()
    return stripped
