"""Chains and nodes of the tests, loaded by BATON_CHAINS as a user's own package would be."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx

from chains.definition import Chain, Results, branch, each, gate, parallel, repeat, sequence, step, when
from node import Final, Pause, Retry, node

Json = Any


@node("t.note", reads=("input",))
def note(state: Json, ctx: Any) -> Json:
    """Succeeds at once."""
    ctx.emit("policy_checked", allowed=True)
    return {"step": ctx.step, "attempt": ctx.attempt}


@node("t.count", reads=("input", "first", "second"))
def count(state: Json, ctx: Any) -> Json:
    """The sum of what it can see so far, from a start in the input."""
    return {
        "sum": 1 + sum(state[name]["sum"] for name in ("first", "second") if name in state) + state["input"]["start"]
    }


@node("t.slow", reads=("input",))
def slow(state: Json, ctx: Any) -> Json:
    """Works for `seconds`, and looks after a stop between units of work."""
    until = time.monotonic() + state["input"].get("seconds", 1)
    while time.monotonic() < until:
        ctx.check()
        time.sleep(0.02)
    return {}


@node("t.stream", reads=("input",))
def stream(state: Json, ctx: Any) -> Json:
    """Streams tokens as a model does, for `seconds`."""
    count, until = 0, time.monotonic() + state["input"].get("seconds", 1)
    while time.monotonic() < until and not ctx.cancelled:
        ctx.token("word ")
        count += 1
        time.sleep(0.05)
    ctx.check()
    return {"tokens": count}


@node("t.deaf", reads=("input",))
def deaf(state: Json, ctx: Any) -> Json:
    """Works for `seconds` and hears nothing."""
    time.sleep(state["input"].get("seconds", 1))
    return {}


@node("t.overdue", timeout_seconds=1)
def overdue(state: Json, ctx: Any) -> Json:
    """Outlives its deadline, the first time."""
    if ctx.attempt == 1:
        time.sleep(3)
    return {"attempt": ctx.attempt}


@node("t.flaky", reads=("input",))
def flaky(state: Json, ctx: Any) -> Json:
    """Fails in its first `failures` attempts; says when to try again unless `own_backoff`."""
    if ctx.attempt <= state["input"].get("failures", 1) and not ctx.resumes:
        if state["input"].get("own_backoff"):
            raise ConnectionError("the other side hung up")
        raise Retry("not yet", after_seconds=0.05)
    return {"attempt": ctx.attempt}


@node("t.final")
def final(state: Json, ctx: Any) -> Json:
    """Fails for good, until the run is resumed."""
    if not ctx.resumes:
        raise Final("this will never work", code="bad_idea")
    return {}


@node("t.exits")
def exits(state: Json, ctx: Any) -> Json:
    """Raises what would kill a thread, the first time."""
    if ctx.attempt == 1:
        raise SystemExit(3)
    if ctx.attempt == 2:
        raise MemoryError()
    return {}


@node("t.odd")
def odd(state: Json, ctx: Any) -> Json:
    """Returns what is no JSON object."""
    return [1, 2]


@node("t.halves", reads=("input",))
def halves(state: Json, ctx: Any) -> Json:
    """Halves of characters (a model's stream may be cut there) in all that a node can say."""
    text = "a\ud83d\ude00b\ud800c"
    ctx.token(text)
    ctx.emit("step_thought", content=text)
    if state["input"].get("fails"):
        raise Final(text)
    return {"text": text}


@node("t.unsaid", reads=("input",))
def unsaid(state: Json, ctx: Any) -> Json:
    """Says what is no JSON, where `input.where` names."""
    if state["input"]["where"] == "event":
        ctx.emit("step_thought", content=object())
    raise Pause("question", "Which?", options={1, 2})


@node("t.ask")
def ask(state: Json, ctx: Any) -> Json:
    """Asks a person, and tells what it was answered."""
    if ctx.answer is None:
        raise Pause("question", "Which colour?", options=["red", "blue"])
    return {"answer": ctx.answer, "attempt": ctx.attempt}


@node("t.say", reads=("input",), retries=0)
def say(state: Json, ctx: Any) -> Json:
    """Asks a model, and shows viewers what it says."""
    answer = ctx.models.show([{"role": "user", "content": state["input"]["question"]}], max_tokens=200)
    return {"text": str(answer), "model": answer.model}


@node("t.budget", reads=("input",))
def budget(state: Json, ctx: Any) -> Json:
    """Waits for a budget, as a call of a model does that finds none: until the file `raised` is there."""
    if not Path(state["input"]["raised"]).exists():
        seconds = state["input"].get("seconds", 3600)
        raise Pause("budget", "No budget is left.", timeout_seconds=seconds, on_timeout="again", budget="tokens")
    return {"answer": ctx.answer, "attempt": ctx.attempt}


@node("t.effect", reads=("input",))
def effect(state: Json, ctx: Any) -> Json:
    """One effect: a POST outside. `fickle`: another request after the first attempt."""
    asked = state["input"]
    request = {"again": ctx.attempt > 1} if asked.get("fickle") else {"what": "order"}
    url = os.environ["PROBE_EFFECT_URL"]

    def post(key: str) -> Json:
        body = {"run_id": ctx.run_id, "step": ctx.step}
        answer = httpx.post(url, json=body, headers={"Idempotency-Key": key}, timeout=10)
        if asked.get("breaks") and ctx.attempt == 1:
            raise ConnectionError("the answer was lost")
        return {"status": answer.status_code}

    result = ctx.effect("order", asked.get("kind", "idempotent"), request, post)
    if asked.get("fails_after") and ctx.attempt == 1:
        raise Retry("after the effect", after_seconds=0.05)
    return {"result": result}


@node("t.big", reads=("input",))
def big(state: Json, ctx: Any) -> Json:
    """An output of so many bytes."""
    return {"text": "x" * state["input"].get("bytes", 100_000)}


@node("t.measure", reads=("big",))
def measure(state: Json, ctx: Any) -> Json:
    """Reads the large output, and one that it did not declare."""
    return {"length": len(state["big"]["text"]), "bytes": state["input"].get("bytes", 100_000)}


@node("t.poison", reads=("input",))
def poison(state: Json, ctx: Any) -> Json:
    """Takes its worker with it, unless there is an antidote."""
    if not Path(state["input"]["antidote"]).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return {"attempt": ctx.attempt}


@node("t.score")
def score(state: Json, ctx: Any) -> Json:
    """A score that grows with each round."""
    return {"score": ctx.step.count("#") and int(ctx.step.split("#")[1].split("/")[0])}


@node("t.pick", reads=("input",))
def pick(state: Json, ctx: Any) -> Json:
    """What to do with which items."""
    return {"items": state["input"].get("items", ["a", "b", "c"])}


@node("t.item", reads=("pick",))
def item(state: Json, ctx: Any) -> Json:
    """One item of a computed fan-out."""
    return {"item": state["pick"]["items"][ctx.index]}


@node("t.gather", reads=("item", "left", "right"))
def gather(state: Json, ctx: Any) -> Json:
    """The join: what it finds of its branches."""
    return {name: state[name] for name in ("item", "left", "right") if name in state}


def executed(results: Results) -> Json:
    return {"executed": [one.key for one in results.steps]}


def one(name: str, *nodes: str, **settings: Any) -> Chain:
    """A chain of nodes in a line, under the last part of their names."""
    return Chain(name, "1", sequence(*(step(each_one) for each_one in nodes)), output=executed, **settings)


SLOW = one("slow", "t.note", "t.slow", "t.gather")
STREAM = one("stream", "t.stream")
DEAF = one("deaf", "t.note", "t.deaf", "t.gather")
OVERDUE = one("overdue", "t.overdue")
FLAKY = one("flaky", "t.note", "t.flaky", "t.gather")
FINAL = one("final", "t.note", "t.final", "t.gather")
EXITS = one("exits", "t.exits")
ODD = one("odd", "t.odd")
HALVES = Chain("halves", "1", step("t.halves"), output=lambda results: results.output("halves"))
UNSAID = one("unsaid", "t.unsaid")
COUNTS = Chain(
    "counts",
    "1",
    sequence(*(step("t.count", name, quick=True) for name in ("first", "second", "third"))),
    output=lambda results: results.output("third"),
)
ASK = Chain("ask", "1", sequence(step("t.note"), step("t.ask")))
EFFECT = Chain(
    "effect", "1", sequence(step("t.effect"), step("t.note")), output=lambda results: results.output("effect")
)
SAY = Chain("say", "1", step("t.say"), output=lambda results: results.output("say"))
BUDGET = Chain(
    "budget", "1", sequence(step("t.budget"), step("t.note")), output=lambda results: results.output("budget")
)
BUDGETS = one("budgets", "t.budget", "t.ask")
BIG = Chain("big", "1", sequence(step("t.big"), step("t.measure")))
BIG_LAST = Chain("big_last", "1", step("t.big"))
POISON = one("poison", "t.note", "t.poison", "t.gather")

APPROVE = Chain(
    "approve",
    "1",
    sequence(
        step("t.note"),
        gate("approve", "Shall it go out?", facts=("ok",)),
        branch(when(lambda facts: facts["approve"]["ok"], step("t.score", "sent")), otherwise=step("t.score", "kept")),
    ),
    output=executed,
)
HURRIED = Chain(
    "hurried", "1", sequence(gate("approve", "Quick?", timeout_seconds=0.5), step("t.note")), output=executed
)
DEFAULTED = Chain(
    "defaulted",
    "1",
    sequence(gate("approve", "Quick?", timeout_seconds=0.5, on_timeout={"ok": True}, facts=("ok",)), step("t.note")),
    output=executed,
)
GATED_BRANCH = Chain(
    "gated_branch",
    "1",
    sequence(
        parallel(
            sequence(gate("ask_left", "Left?"), step("t.note", "left")),
            sequence(step("t.slow"), step("t.note", "right")),
        ),
        step("t.gather"),
    ),
    output=executed,
)
TWO_GATES = Chain("two_gates", "1", parallel(gate("first", "One?"), gate("second", "Two?")), output=executed)
LOOP = Chain(
    "loop",
    "1",
    sequence(
        repeat(
            "round",
            step("t.score", facts=("score",)),
            until=lambda facts: facts.get("score", {}).get("score", 0) >= 3,
            at_most=5,
        ),
        step("t.note"),
    ),
    output=executed,
)
COMPUTED = Chain(
    "computed",
    "1",
    sequence(
        step("t.pick", facts=("items",)),
        each("map", step("t.item", "item"), over=lambda facts: facts["pick"]["items"]),
        step("t.gather"),
    ),
    output=lambda results: results.output("gather"),
)
BRANCH_FAILS = Chain(
    "branch_fails", "1", sequence(parallel(step("t.final"), step("t.slow")), step("t.gather")), output=executed
)

# One step for each point of a node's life: its key is the point, so that a fault strikes in one test only.
KILLED = Chain(
    "killed",
    "1",
    build=lambda facts: sequence(
        step("t.note", "first", quick=True),
        step("t.effect", facts["at"], quick=True),
        step("t.note", "last", quick=True),
    ),
    input_facts=("at",),
    output=executed,
)
KILLED_LATE = Chain(
    "killed_late",
    "1",
    build=lambda facts: sequence(
        *(step("t.note", f"s{no}", quick=True) for no in range(1, 6)), step("t.effect", facts["at"], quick=True)
    ),
    input_facts=("at",),
    output=executed,
)
KILLED_JOIN = Chain(
    "killed_join",
    "1",
    build=lambda facts: sequence(parallel(step("t.note", "left"), step("t.effect", facts["at"])), step("t.gather")),
    input_facts=("at",),
    output=executed,
)
