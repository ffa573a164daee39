"""`/metrics`: what every process counted, and what is measured in Postgres and Redis at this scrape."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from app import auth
from chains.queues import QUEUES
from storage import broker, outages
from storage.reads import gauges

api = Blueprint("metrics", __name__)
log = structlog.get_logger(__name__)

STATUSES = ("pending", "running", "paused")


@api.get("/metrics")
@auth.public(api)
def scrape() -> Response:
    """Prometheus' text format; answers while the servers are away, without their figures."""
    registry = CollectorRegistry(auto_describe=False)
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder and Path(folder).is_dir():
        counted: Collector = MultiProcessCollector(CollectorRegistry(), path=folder)  # type: ignore[no-untyped-call]
    else:
        counted = REGISTRY
    registry.register(_Named(counted))
    registry.register(_Measured())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Named(Collector):
    """The counters; `agent_token_usage` also under that very name, which the library would only give with `_total`."""

    def __init__(self, counted: Collector) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Metric]:
        counted = list(self._counted.collect())
        seen = {metric.name for metric in counted}
        # Of what nobody counted yet the name and the type at least: a dashboard finds it before it happens.
        for metric in REGISTRY.collect():
            if metric.name not in seen:
                metric.samples = []
                counted.append(metric)
        yield _hit_ratio(counted)
        for metric in counted:
            yield metric
            if metric.name == "agent_token_usage":
                plain = Metric(metric.name, metric.documentation, "unknown")
                for sample in metric.samples:
                    if sample.name.endswith("_total"):
                        plain.add_sample(metric.name, sample.labels, sample.value)
                yield plain


def _hit_ratio(counted: Iterable[Metric]) -> Metric:
    """Hits of each cache level out of its lookups, under the name that the source documents give it."""
    ratio = GaugeMetricFamily("msig_cache_hit_ratio", "Model calls that a cache answered", labels=["cache_level"])
    found: dict[str, dict[str, float]] = {}
    for metric in counted:
        if metric.name == "baton_model_cache_lookups":
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    found.setdefault(sample.labels["level"], {})[sample.labels["outcome"]] = sample.value
    for level, outcomes in sorted(found.items()):
        if lookups := sum(outcomes.values()):
            ratio.add_metric([level], outcomes.get("hit", 0.0) / lookups)
    return ratio


class _Measured(Collector):
    """The gauges."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("baton_database_up", "1 if Postgres answers this scrape")
        try:
            found = gauges.measure()
        except outages.DATABASE_AWAY as away:
            log.warning("scrape_without_database", error=outages.first_line(away))
            up.add_metric([], 0)
            yield up
        else:
            up.add_metric([], 1)
            yield up
            yield from _gauges(found)
        lengths = broker.queue_lengths(QUEUES)
        broker_up = GaugeMetricFamily("baton_broker_up", "1 if Redis answers this scrape")
        broker_up.add_metric([], 0 if lengths is None else 1)
        yield broker_up
        messages = GaugeMetricFamily("baton_broker_messages", "Messages that wait in Redis", labels=["queue"])
        for queue, length in (lengths or {}).items():
            messages.add_metric([queue], length)
        yield messages


def _gauges(found: gauges.Gauges) -> Iterator[Metric]:
    depth = GaugeMetricFamily("baton_queue_depth", "Segments that are due and that nobody claimed", labels=["queue"])
    for queue in QUEUES:
        depth.add_metric([queue], found.queue_depth.get(queue, 0))
    yield depth
    lease = GaugeMetricFamily("baton_lease_age_seconds", "Age of the oldest lease")
    lease.add_metric([], found.oldest_lease_seconds)
    yield lease
    unsent = GaugeMetricFamily("baton_oldest_unsent_seconds", "For how long the oldest unsent segment has been due")
    unsent.add_metric([], found.oldest_unsent_seconds)
    yield unsent
    runs = GaugeMetricFamily("baton_runs", "Runs that are not final", labels=["status"])
    for status in STATUSES:
        runs.add_metric([status], found.runs.get(status, 0))
    yield runs
    workers = GaugeMetricFamily("baton_workers_alive", "Worker processes that are alive")
    workers.add_metric([], found.workers)
    yield workers
