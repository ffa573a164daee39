"""Traces and logs: the trace id travels without an exporter, and spans have their parents with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import telemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"

SCRIPT = f"""
import structlog, telemetry
telemetry.setup("test")
with telemetry.span("outer", traceparent="{PARENT}", run_id="r-1"):
    with telemetry.span("inner", step="write"):
        structlog.get_logger("x").info("thinking", words=3)
        print(telemetry.current_traceparent())
"""


@pytest.mark.parametrize(
    "wrong",
    [None, "", "nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE}-{'0' * 16}-01", f"ff{PARENT[2:]}"],
)
def test_what_is_no_traceparent_starts_a_new_trace(wrong: str | None) -> None:
    assert telemetry.trace_id_of(wrong) is None
    with telemetry.span("x", traceparent=wrong):
        made = telemetry.trace_id_of(telemetry.current_traceparent())
    assert made and made != TRACE


def test_a_trace_goes_on_through_spans_without_an_exporter() -> None:
    assert telemetry.current_traceparent() is None
    with telemetry.span("outer", traceparent=PARENT), telemetry.span("inner"):
        assert telemetry.trace_id_of(telemetry.current_traceparent()) == TRACE
    assert telemetry.current_traceparent() is None


def test_a_log_line_carries_run_step_and_trace() -> None:
    line = json.loads(_run().stderr.splitlines()[-1])
    assert line["event"] == "thinking" and line["words"] == 3 and line["process"] == "test"
    assert (line["run_id"], line["step"], line["trace_id"]) == ("r-1", "write", TRACE)


def test_spans_are_exported_when_the_environment_asks() -> None:
    done = _run(OTEL_TRACES_EXPORTER="console")
    handed_on = done.stdout.strip().splitlines()[-1]
    spans = {}
    for part in done.stderr.split("\n}\n"):
        if '"context"' in part:
            span = json.loads(part[part.index('{\n    "name"') :] + "\n}")
            spans[span["name"]] = span
    outer, inner = spans["outer"], spans["inner"]
    assert outer["parent_id"] == "0x00f067aa0ba902b7" and outer["attributes"] == {"run_id": "r-1"}
    assert inner["parent_id"] == outer["context"]["span_id"]
    assert handed_on == f"00-{TRACE}-{inner['context']['span_id'][2:]}-01"


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | environment | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
