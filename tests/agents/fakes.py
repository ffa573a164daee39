"""A Context and a model door for node tests: they record what a node did, and nothing stands behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from node import Final, Stopped


@dataclass
class FakeModel:
    """A model as `Models.able` names it."""

    name: str = "fake"
    languages: tuple[str, ...] = ("en",)
    weak: bool = False


@dataclass
class FakeModels:
    """The gateway's door with scripted answers: each call takes the next one; an exception is raised.

    objects: answers of structured calls by the schema's name, apart from `answers`; a schema that is listed and has
    none left has failed, one that is not listed takes the next of `answers`. So nobody reads a request unless a test
    says so.
    """

    answers: list[Any] = field(default_factory=list)
    objects: dict[str, list[Any]] = field(default_factory=lambda: {"IntentSchema": []})
    languages: tuple[str, ...] = ()
    may_fall_back: bool = True
    weak: bool = False
    calls: list[Any] = field(default_factory=list)
    host: Any = None

    def able(self, language: str, capability: str = "chat") -> FakeModel | None:
        return FakeModel(languages=self.languages, weak=self.weak) if language in self.languages else None

    def chat(self, messages: Sequence[Any], **options: Any) -> str:
        return "".join(self.stream(messages, **options))

    def stream(
        self, messages: Sequence[Any], *, model: Any = None, language: str = "en", **options: Any
    ) -> Iterator[str]:
        if model is None and self.able(language) is None:
            raise Final(f"no model is able in {language}", code="no_able_model")
        self.calls.append((messages, options))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        yield from (answer[i : i + 8] for i in range(0, len(answer), 8))

    def show(self, messages: Sequence[Any], **options: Any) -> str:
        text = ""
        for piece in self.stream(messages, **options):
            text += piece
            if self.host:
                self.host.token(piece)
        return text

    def by_rules(self, reason: object) -> None:
        if not self.may_fall_back:
            raise Final(f"fallback is off, and {reason}", code="no_able_model")
        if self.host:
            self.host.degrade(str(reason))

    def structured(self, schema: type[BaseModel], messages: Sequence[Any], **options: Any) -> BaseModel:
        if schema.__name__ not in self.objects:
            return schema.model_validate_json(self.chat(messages, **options))
        self.calls.append((messages, options))
        if not self.objects[schema.__name__]:
            raise Final("no structured answer", code="no_structured_answer")
        answer = self.objects[schema.__name__].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return schema.model_validate(answer)


@dataclass
class FakeContext:
    """What the engine would tell a node; `tokens`, `events` and `degraded` hold what the node said."""

    tenant_id: str = field(default_factory=lambda: str(uuid4()))
    run_id: str = "0199aaaa-0000-7000-8000-000000000001"
    chain: str = "script"
    session_id: str | None = None
    user_id: str | None = None
    trace_id: str = "0" * 32
    step: str = "write"
    index: int | None = None
    attempt: int = 1
    resumes: int = 0
    answer: Any = None
    models: Any = field(default_factory=FakeModels)
    cancelled: bool = False
    tokens: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.models, FakeModels):
            self.models.host = self

    def check(self) -> None:
        if self.cancelled:
            raise Stopped

    def seconds_left(self) -> float:
        return 60.0

    def token(self, text: str, *, restart: bool = False) -> None:
        if restart:
            self.tokens.clear()
        self.tokens.append(text)

    def emit(self, type: str, **data: Any) -> None:
        self.events.append((type, data))

    def degrade(self, reason: str) -> None:
        self.degraded.append(reason)

    def effect(self, name: str, kind: Any, request: Any, call: Callable[[str], Any]) -> Any:
        return call(name)
