"""Drives a chain through its real nodes in this process: the plan says what comes next, a fake context listens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from agents.registry import nodes
from chains import catalog, payload
from chains.definition import Results, StepResult
from chains.paths import by_name
from chains.plan import plan
from node import Pause
from tests.agents.fakes import FakeContext

MOST_ROUNDS = 40


class Driven:
    """A run: `outputs` by key, `output` at its end; `paused` where a node asked something, answered by `answer`."""

    def __init__(self, chain: str, given: dict[str, Any], ctx: FakeContext | None = None) -> None:
        self.chain = catalog.latest(chain)
        self.accepted = self.chain.accept(given)
        self.ctx = replace(ctx or FakeContext(), chain=chain)
        self.outputs: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.nodes: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.paused: Pause | None = None
        self.output: Any = None
        self.go_on()

    def answer(self, given: Any) -> None:
        """Answer the question that the run waits for."""
        self.answers[self.ctx.step] = given
        self.go_on()

    def go_on(self) -> None:
        self.paused = None
        body = catalog.definition(self.chain.name, self.chain.version, self.accepted.facts)
        for _ in range(MOST_ROUNDS):
            now = plan(body, self.accepted.facts, self.facts)
            if now.finished:
                break
            for step in [one for line in now.lines for one in line]:
                try:
                    self.run(step)
                except Pause as asked:
                    self.paused = asked
                    return
        assert now.finished
        steps = [StepResult(key, self.nodes[key], no, self.facts[key]) for no, key in enumerate(self.outputs, 1)]
        assert self.chain.output
        self.output = self.chain.output(Results(self.accepted.input, steps, 0, self.outputs.__getitem__))

    def run(self, step: Any) -> None:
        node = nodes()[step.node]
        self.ctx.step, self.ctx.answer = step.key, self.answers.get(step.key)
        found = [int(one.split("[")[1].rstrip("]")) for one in step.key.split("/") if "[" in one]
        self.ctx.index = found[-1] if found else None
        output = dict(node(dict(self.state(node.reads, step.key)), self.ctx))
        payload.dump(output)
        self.outputs[step.key], self.nodes[step.key] = output, step.node
        self.facts[step.key] = payload.facts_of(output, step.facts)

    def state(self, reads: tuple[str, ...], reader: str) -> Iterator[tuple[str, Any]]:
        known = by_name(self.outputs, reader)
        for name in reads:
            if name == "input":
                yield name, self.accepted.input
            elif name in known:
                key = known[name]
                yield name, [self.outputs[one] for one in key] if isinstance(key, list) else self.outputs[key]
