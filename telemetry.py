"""Logs and traces: one JSON line a log entry with run, step and trace id; spans when the OTEL_* environment asks.

Every process calls `setup("web", mask=...)` (or "worker", ...) once. After that

    with telemetry.span("script.write", traceparent=run.traceparent, run_id=run_id, step="write"):
        log.info("written", words=120)          # carries run_id, step and trace_id by itself

A span binds its attributes to the log context. Without an exporter (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_TRACES_EXPORTER`, read here because OpenTelemetry names them) nothing is
recorded and a span costs some microseconds; the trace id travels either way.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import structlog
from structlog.contextvars import (
    bind_contextvars,
    bound_contextvars,
    clear_contextvars,
    merge_contextvars,
    reset_contextvars,
)

__all__ = [
    "bind_contextvars",
    "clear_contextvars",
    "current_traceparent",
    "model_span",
    "new_traceparent",
    "setup",
    "span",
    "trace_id_of",
]

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$")
_EXPORTER_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")

_current: ContextVar[str | None] = ContextVar("baton_traceparent", default=None)
_tracer: Any = None
_provider: Any = None


def setup(
    process_name: str,
    *,
    level: str = "INFO",
    log_format: str = "json",
    mask: Callable[[Any], Any] | None = None,
) -> None:
    """Send structlog and the standard library's logging to stderr in one shape; start tracing if it is asked for.

    process_name: stands in every line as `process`; log_format: "json", or "console" for people; mask: makes of a
    line's values, with the text of exceptions among them, what may be written: values of JSON.
    """
    shared: list[Any] = [
        merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        _process(process_name),
    ]
    last: list[Any] = [structlog.processors.format_exc_info]  # before the mask: a trace quotes what went wrong
    if mask:
        last.append(_masking(mask))
    if log_format == "console":
        plain = structlog.dev.plain_traceback  # else it asks for traces that are not text yet
        last.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    else:
        last.append(structlog.processors.JSONRenderer(ensure_ascii=False))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _start_tracing(process_name)


def _process(name: str) -> Any:
    def add(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["process"] = name
        event["pid"] = os.getpid()
        return event

    return add


def _masking(mask: Callable[[Any], Any]) -> Any:
    def masked(_logger: Any, _method: str, event: dict[str, Any]) -> Any:
        return mask(event)

    return masked


def _start_tracing(process_name: str) -> None:
    """Configure OpenTelemetry's provider, once, where an exporter is named."""
    global _tracer, _provider
    if _tracer is not None or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if not any(os.environ.get(name) for name in _EXPORTER_VARIABLES):
        return
    kind = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    if kind == "none":
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    exporter: SpanExporter
    if kind == "console":
        exporter = ConsoleSpanExporter(out=sys.stderr)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter()
    name = os.environ.get("OTEL_SERVICE_NAME", "baton")
    provider = TracerProvider(resource=Resource.create({"service.name": name, "baton.process": process_name}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    # the last spans of a process that ends would be lost otherwise
    atexit.register(provider.shutdown)
    _tracer, _provider = provider.get_tracer("baton"), provider


def flush() -> None:
    """Send the spans that wait, before a process ends without a goodbye."""
    if _provider is not None:
        _provider.force_flush(2000)


def new_traceparent() -> str:
    """A W3C traceparent of a trace that starts here."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@lru_cache(maxsize=1024)  # a run's steps ask for the same one
def trace_id_of(traceparent: str | None) -> str | None:
    """The 32 hex digits of a W3C traceparent; None for one that is not valid (all zeros, version ff, other shape)."""
    match = _TRACEPARENT.match((traceparent or "").strip())
    if not match or match[1] == "0" * 32 or match[2] == "0" * 16 or match[0].startswith("ff"):
        return None
    return match[1]


def current_traceparent() -> str | None:
    """The traceparent to hand on from here: the innermost span's, None outside of any."""
    return _current.get()


@contextmanager
def span(name: str, traceparent: str | None = None, **attributes: Any) -> Iterator[Any]:
    """A span of the trace `traceparent` (default: the current one, else a new trace) around a block.

    attributes: put on the span and on every log line inside. Yields OpenTelemetry's span, or None when tracing is off.
    """
    parent = traceparent if trace_id_of(traceparent) else _current.get()
    if _tracer is None:
        carried = parent or new_traceparent()
        token, bound = _current.set(carried), bind_contextvars(trace_id=carried[3:35], **attributes)
        try:
            yield None
        finally:
            reset_contextvars(**bound)
            _current.reset(token)
        return
    from opentelemetry.trace import format_span_id, format_trace_id
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})
    plain = {key: value for key, value in attributes.items() if isinstance(value, (str, int, float, bool))}
    with _tracer.start_as_current_span(name, context=context, attributes=plain) as opened:
        made = opened.get_span_context()
        trace_id = format_trace_id(made.trace_id)
        token = _current.set(f"00-{trace_id}-{format_span_id(made.span_id)}-{made.trace_flags:02x}")
        try:
            with bound_contextvars(trace_id=trace_id, **attributes):
                yield opened
        finally:
            _current.reset(token)


def model_span(
    operation: str, provider: str, model: str, *, seconds: float, error: str | None = None, **told: Any
) -> None:
    """A span of a model call that just ended, under OpenTelemetry's conventions for generative AI.

    told: answered_by, tokens_in, tokens_out, finish_reason, max_tokens, temperature, as far as they are known. Made
    when it is over: a stream's consumer runs between its pieces, and its spans and log lines are not the model's.
    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
    """
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    attributes = {
        "gen_ai.operation.name": "embeddings" if operation == "embed" else operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        **{_GEN_AI[name]: value for name, value in told.items() if value is not None and name in _GEN_AI},
    }
    if reason := told.get("finish_reason"):
        attributes["gen_ai.response.finish_reasons"] = [reason]
    if error is not None:
        attributes["error.type"] = error
    parent = _current.get()
    context = TraceContextTextMapPropagator().extract({"traceparent": parent} if parent else {})
    ended = time.time_ns()
    made = _tracer.start_span(
        f"{attributes['gen_ai.operation.name']} {model}",
        context=context,
        kind=SpanKind.CLIENT,
        attributes=attributes,
        start_time=ended - round(seconds * 1e9),
    )
    if error is not None:
        made.set_status(Status(StatusCode.ERROR, error))
    made.end(ended)


_GEN_AI = {
    "answered_by": "gen_ai.response.model",
    "tokens_in": "gen_ai.usage.input_tokens",
    "tokens_out": "gen_ai.usage.output_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
}
