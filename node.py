"""What an agent node is: a plain function `(state, ctx) -> output` with a name and a few promises about itself.

A node knows no Celery, no Flask and no SQL. It reads the run's state, thinks, and returns a JSON object; what it
raises tells the engine what to do next. This file imports nothing of ours, so that every room may use it.

    @node("shop.greet", reads=("input",))
    def greet(state, ctx):
        return {"text": f"Hello {state['input']['name']}"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

Json: TypeAlias = Any
Output: TypeAlias = Mapping[str, Json]
EffectKind: TypeAlias = Literal["idempotent", "at_most_once"]


class Retry(Exception):
    """The node failed in a way that may pass: try again, `after_seconds` from now where the source said so."""

    def __init__(self, message: str, *, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class Final(Exception):
    """The node failed and trying again is useless; `code` is the machine-readable reason shown on the run."""

    def __init__(self, message: str, *, code: str = "node_failed") -> None:
        super().__init__(message)
        self.code = code


class NotHappened(Exception):
    """Raised by the call of an effect that certainly did not reach the other side: it may be tried again."""


class Stopped(Exception):
    """The run is being stopped: raised inside a node by `ctx.check()`, so that it ends early."""


class Pause(Exception):
    """The node needs an answer from outside; its step waits, and runs again with `ctx.answer` set.

    kind: "question", "approval", "budget" or "effect"; question: what a person is asked;
    timeout_seconds: how long the step waits (None: for ever); on_timeout: what becomes of it then: "fail" fails the run
    with `wait_timed_out`, "again" runs the step again, without an answer and not as a failure.
    """

    def __init__(
        self,
        kind: str,
        question: str,
        *,
        timeout_seconds: float | None = None,
        on_timeout: Literal["fail", "again"] = "fail",
        **details: Json,
    ) -> None:
        super().__init__(question)
        if on_timeout not in ("fail", "again"):
            raise ValueError(f'on_timeout= of a Pause is {on_timeout!r}: give "fail" or "again"')
        self.kind = kind
        self.question = question
        self.timeout_seconds = timeout_seconds
        self.on_timeout = on_timeout
        self.details = details


class Context(Protocol):
    """What the engine tells a node about the run it works for, and what the node may ask of the engine.

    index: the branch of the innermost computed fan-out that this step stands in, from 0; None outside of one;
    attempt: from 1; resumes: how often the failed run was resumed; answer: what a step that paused was answered.
    """

    run_id: str
    tenant_id: str
    session_id: str | None
    user_id: str | None
    trace_id: str
    chain: str
    step: str
    index: int | None
    attempt: int
    resumes: int
    answer: Json

    @property
    def models(self) -> Any:
        """The gateway: every model behind one door."""
        ...

    @property
    def cancelled(self) -> bool:
        """True once the run is being stopped or the step has lost its lease or passed its deadline."""
        ...

    def check(self) -> None:
        """Raise Stopped when `cancelled`. Call it between units of work that take longer than a second."""
        ...

    def seconds_left(self) -> float:
        """Seconds until this step's deadline, never below 0."""
        ...

    def token(self, text: str, *, restart: bool = False) -> None:
        """Show a piece of a model's answer to live viewers. Not stored, has no seq, may be lost.

        restart: what this step showed before is void, another model begins anew.
        """
        ...

    def emit(self, type: str, **data: Json) -> None:
        """Record an event of the run; it is committed, with its seq, together with the step."""
        ...

    def degrade(self, reason: str) -> None:
        """Mark the run as degraded: it completes, and says why it is less than was asked for."""
        ...

    def effect(self, name: str, kind: EffectKind, request: Json, call: Callable[[str], Json]) -> Json:
        """Do something outside, once: `call(key)` gets the ledger's key and returns a JSON result.

        The same name in the same step of the same run is the same effect, whatever the attempt: done before, it
        returns the stored result without a call. Raises Pause where the outcome of an earlier call is unknown
        (`at_most_once`) or where the request differs from the recorded one.
        """
        ...


@dataclass(frozen=True)
class Node:
    """A named agent node.

    name: the Celery task's name, e.g. "script.write"; reads: names of the outputs (and "input") handed over with the
    claim; timeout_seconds: the step's deadline; retries: failures that are retried before one is final.
    """

    name: str
    call: Callable[[Mapping[str, Json], Context], Output]
    reads: tuple[str, ...] = ()
    timeout_seconds: float = 300.0
    retries: int = 3

    def __call__(self, state: Mapping[str, Json], ctx: Context) -> Output:
        return self.call(state, ctx)


def node(
    name: str,
    *,
    reads: tuple[str, ...] = (),
    timeout_seconds: float = 300.0,
    retries: int = 3,
) -> Callable[[Callable[[Mapping[str, Json], Any], Output]], Node]:
    """Make the decorated function a Node; the arguments are the Node's fields."""

    def make(call: Callable[[Mapping[str, Json], Any], Output]) -> Node:
        return Node(name, call, reads, timeout_seconds, retries)

    return make
