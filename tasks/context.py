"""The Context that a node gets: what the engine knows of the step, and the few things a node may ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents import registry
from chains import payload
from chains.decide import Event
from chains.paths import by_name
from node import EffectKind, Json, Stopped
from storage import broker
from storage.checkpoints import Lease, read_input, read_outputs
from tasks import effects


@dataclass
class RunContext:
    """See node.Context for what each of these means to a node."""

    lease: Lease
    run_id: str
    tenant_id: str
    session_id: str | None
    user_id: str | None
    trace_id: str
    chain: str
    step: str
    node: str
    index: int | None
    attempt: int
    resumes: int
    answer: Json
    deadline: float
    events: list[Event] = field(default_factory=list)
    degraded: str | None = None
    stop_asked: bool = False
    shown: bool = False
    _models: Any = None

    @property
    def cancelled(self) -> bool:
        return self.stop_asked or time.monotonic() >= self.deadline

    def check(self) -> None:
        if self.cancelled:
            raise Stopped("the run is being stopped, or the step has passed its deadline")

    def seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def token(self, text: str, *, restart: bool = False) -> None:
        if self.attempt > 1 and not self.shown:
            restart = True  # what an earlier attempt showed is void too
        self.shown = True
        token = {"step": self.step, "text": text, **({"restart": True} if restart else {})}
        broker.show(broker.hint(self.lease.tenant_id, self.lease.run_id, {"token": token}))

    def emit(self, type: str, **data: Json) -> None:
        payload.dump(data)  # what is no JSON fails here, in the node that made it
        self.events.append(Event(type, self.step, self.node, data))

    def degrade(self, reason: str) -> None:
        self.degraded = self.degraded or reason

    def effect(self, name: str, kind: EffectKind, request: Json, call: Callable[[str], Json]) -> Json:
        return effects.perform(self.lease, name, kind, request, call)

    @property
    def models(self) -> Any:
        """The gateway's door, opened at the first look: most nodes never need a model."""
        if self._models is None:
            self._models = registry.models(self)
        return self._models


class State(Mapping[str, Json]):
    """A run's state as a node sees it: declared outputs are here, the others are read at the first look."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._found: dict[str, Json] = {}
        if lease.input is not None:
            self._found["input"] = json.loads(lease.input)
        if lease.reads:
            outputs = self._fold(lease.outputs)
            self._found.update({name: outputs[name] for name in lease.reads if name in outputs})
            self._absent = {name for name in lease.reads if name not in self._found}
        else:
            self._absent = set()

    def __getitem__(self, name: str) -> Json:
        if name not in self._found and name not in self._absent:
            self._read(name)
        if name in self._absent:
            raise KeyError(f"no step of the name {name!r} has an output yet")
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _read(self, name: str) -> None:
        if name == "input":
            self._found[name] = json.loads(read_input(self._lease.tenant_id, self._lease.run_id))
            return
        found = self._fold(read_outputs(self._lease.tenant_id, self._lease.run_id, [name]))
        if name in found:
            self._found[name] = found[name]
        else:
            self._absent.add(name)

    def _fold(self, rows: tuple[tuple[str, int, Json, str | None], ...]) -> dict[str, Json]:
        """Outputs by name as the reader sees them: the last iteration, its own item of a fan-out, or the whole list."""
        rows = tuple(sorted(rows, key=lambda row: row[1]))
        values = {key: output if ref is None else payload.load(None, ref) for key, _, output, ref in rows}

        def fill(keys: Any) -> Json:
            return [fill(one) for one in keys] if isinstance(keys, list) else None if keys is None else values[keys]

        return {name: fill(keys) for name, keys in by_name(values, self._lease.key).items()}


def open_context(lease: Lease, node_name: str) -> RunContext:
    """The context of one execution."""
    return RunContext(
        lease=lease,
        run_id=str(lease.run_id),
        tenant_id=str(lease.tenant_id),
        session_id=lease.session_id,
        user_id=lease.user_id,
        trace_id=lease.trace_id,
        chain=lease.chain,
        step=lease.key,
        node=node_name,
        index=_index(lease.key),
        attempt=lease.attempt,
        resumes=lease.resumes,
        answer=lease.answer,
        deadline=time.monotonic() + lease.seconds,
    )


def _index(key: str) -> int | None:
    """The number of the innermost `[n]` of a step's key."""
    before, bracket, _ = key.rpartition("]")
    return int(before.rpartition("[")[2]) if bracket else None
