"""The built-in self-test of an installation: a line of nodes, then a fan-out with its join.

Its input says how long the nodes sleep, how much they carry, which of them fail and what they do outside; the node
itself is agents/probe.py, and every step of this chain is that one node. Benchmarks and fault tests run it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chains.definition import Chain, FactsView, Json, Part, Results, each, sequence, step

NODE = "probe.work"


class ProbeInput(BaseModel):
    """Input of the chain `probe`; every field may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    steps: int = Field(8, ge=1, le=1000, description="nodes in a line")
    sleep_ms: int = Field(0, ge=0, le=60_000, description="every node sleeps so long")
    payload_bytes: int = Field(0, ge=0, le=5_000_000, description="every node's output carries so much text")
    fan_out: int = Field(0, ge=0, le=32, description="after the line, so many parallel branches and a join")
    fail: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}$")], Annotated[int, Field(ge=-1)]] = Field(
        default_factory=dict, description="node number -> attempts that fail (-1: always, until the run is resumed)"
    )
    effect: Literal["none", "idempotent", "at_most_once"] = Field("none", description="one effect in every node")


def build(facts: FactsView) -> Part:
    """The parts for an input: keys `1`, `2`, …, `branch[0]`, …, `join`."""
    quick = facts["sleep_ms"] == 0
    line = sequence(*(step(NODE, str(number), quick=quick) for number in range(1, facts["steps"] + 1)))
    if not facts["fan_out"]:
        return line
    branches = each("branch", step(NODE, quick=quick), over=lambda facts: facts["input"]["fan_out"])
    return sequence(line, branches, step(NODE, "join", quick=quick))


def output(results: Results) -> Json:
    """What was run, in the order of the commits, and how many effects were done."""
    return {"executed": [one.key for one in results.steps], "effects": results.effects}


PROBE = Chain(
    "probe",
    version="1",
    title="Self-test of an installation",
    build=build,
    input_schema=ProbeInput,
    input_facts=("steps", "fan_out", "sleep_ms"),
    output=output,
)
