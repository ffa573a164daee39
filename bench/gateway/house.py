"""A tenant's door to two models: `first` is asked before `second`, which costs twice as much."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from gateway import breaker
from gateway.backend import Backend
from gateway.backends.models_file import Configuration, SemanticCache
from gateway.host import Alone
from gateway.models import Models
from gateway.request import Caller
from storage import broker, tenants
from storage.tables import uuid7
from tests.agents.protocols import echo

MAX_TOKENS = 64
PATIENCE_SECONDS = 120.0  # what is left to the node; the gateway gives up long before


@dataclass
class Viewer(Alone):
    """A host that shows an answer as it comes, and drops what is void."""

    shown: str = ""

    def seconds_left(self) -> float:
        return PATIENCE_SECONDS

    def token(self, text: str, *, restart: bool = False) -> None:
        self.shown = text if restart else self.shown + text


@dataclass(frozen=True)
class Said:
    """What came of one call. model: who answered, "" for nobody; right: the whole answer to this very question, and
    nothing else was shown; began, ended: monotonic seconds."""

    model: str
    right: bool
    began: float
    ended: float
    error: str = ""

    @property
    def milliseconds(self) -> float:
        return (self.ended - self.began) * 1000


@dataclass(frozen=True)
class House:
    """Two backends and a tenant of its own. limits: further fields of the backends."""

    first_url: str
    second_url: str
    limits: dict[str, Any] = field(default_factory=dict)
    tenant: UUID = field(default_factory=lambda: tenants.create_tenant(f"bench-{uuid7()}"))

    def __post_init__(self) -> None:
        # Names of their own: what Redis knows of a backend's health goes by its name.
        tag = uuid7().hex[-8:]
        made = [
            Backend(f"{name}-{tag}", "vllm", url, name, price_in=price, price_out=3 * price, api_key="k", **self.limits)
            for name, url, price in (
                ("first", self.first_url, Decimal("0.5")),
                ("second", self.second_url, Decimal(1)),
            )
        ]
        object.__setattr__(self, "backends", tuple(made))

    backends: tuple[Backend, ...] = field(init=False)

    def ask(self, question: str) -> Said:
        """One call, shown as it comes; never raises for an answer that does not come."""
        viewer = Viewer()
        caller = Caller(self.tenant, uuid7(), "bench", chain="bench", agent_id="bench")
        door = Models(lambda: Configuration(self.backends, "cost_optimized", SemanticCache()), caller, viewer)
        began = time.monotonic()
        try:
            answer = door.show([{"role": "user", "content": question}], max_tokens=MAX_TOKENS)
        except Exception as error:  # whatever it is, it is no answer
            return Said("", False, began, time.monotonic(), f"{type(error).__name__}: {error}")
        return Said(answer.model, answer == viewer.shown == echo(question), began, time.monotonic())

    def forgive(self) -> None:
        """Close the breakers and forget all failures, so that the next call begins with `first` again."""
        kept = ("failures", "open", "unproven", "probe", "opened", "ramp")
        names = [f"baton:model:{backend.name}:{what}" for backend in self.backends for what in kept]
        broker.client().delete(*names)
        breaker.forget()
