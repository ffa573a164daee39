"""The page docs/benchmarks.md, written by the command: medians and ranges, and beside each target whether it is met."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.measures import ALONE_CHAINS, LONG_CHAINS, LONG_NODES, PAYLOAD_CHAINS, Figures
from bench.streams import EVENTS_A_SECOND, RECONNECTS, SOCKETS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; do not edit. Every figure is the median of {rounds} rounds, with the smallest and the largest
beside it. Both contestants ran in the same minutes on the same machine, by turns, and the one whose turn it was not was
frozen. Absolute figures are this machine's; what carries over are the ratios.

{machine}

- **Bare Celery**: chains of tasks that do nothing, results on, Redis as broker and result backend, nothing durable.
- **Baton**: the probe chain on PostgreSQL with fsync and row-level security on; a node's result is on disk before the
  next node is sent.
- Both: {workers} worker processes of {threads} threads, prefetch 1, late acknowledgement, {events}, log level {level},
  a Redis of the same kind and settings each.
- Two things in Baton's workers are not stock Celery: `storage/redis_transport.py` keeps one Redis client a channel and
  acknowledges in company, `tasks/events.py` sends task events ten times a second. They pay for a good part of Postgres.
"""

_METHOD = """\
## How it is measured

- **Throughput**: {chains} chains of 8 nodes are accepted while the workers are frozen; the clock runs from their
  release to the end of the last chain. CPU time is that of the workers, their Redis, and for Baton of Postgres.
- **A node alone**: {alone} chains of 8 nodes, one after another, each from its send to the message that its result is
  there; divided by 8.
- **Synced commits**: `fsyncs` of the log by client processes in `pg_stat_io`, while chains run one after another, so
  that no two commits share a sync; the commit that accepts a run is not counted.
- **Long chains**: {long} chains of {nodes} nodes in flight, against chains of 8 nodes with as many in flight as before.
- **1 MB**: {payload} chains of 8 nodes that carry 1,000,000 characters each, one after another, less what these bytes
  cost in one process without any engine: made, written as JSON, hashed, in a synced file.
- **Streams**: {sockets} WebSockets on one web process, each on its own run, {events:.0f} events a second written by
  the engine's own call in synced transactions and published as a worker does it, to a client process of its own on the
  same machine. Then the viewers of {reconnects} runs are cut off, one after another, while these runs go on.
- **Commit probe**: one client, one row, one synced commit; beside every round, because disks change by the minute.
"""

Row = tuple[str, str, str | None, Callable[[float], bool] | None, int]

# Figure, what it is, the target in words, whether a median meets it, digits.
_ROWS: tuple[Row, ...] = (
    ("throughput_bare", "Throughput, bare Celery, nodes a second", None, None, 0),
    ("throughput_baton", "Throughput, Baton, nodes a second", None, None, 0),
    ("throughput_ratio", "**Throughput, Baton / bare, round by round**", "≥ 0.88", lambda x: x >= 0.88, 2),
    ("throughput_cpu_bare", "CPU time a node, bare, ms", None, None, 2),
    ("throughput_cpu_baton", "CPU time a node, Baton with Postgres, ms", None, None, 2),
    ("throughput_commit_ms", "Commit probe meanwhile, ms", None, None, 2),
    ("throughput_load", "Load average meanwhile", None, None, 1),
    ("alone_bare", "A node alone, bare, ms", None, None, 2),
    ("alone_baton", "A node alone, Baton, ms", None, None, 2),
    ("alone_commit_ms", "Commit probe meanwhile, ms", None, None, 2),
    ("alone_load", "Load average meanwhile", None, None, 1),
    ("alone_over", "**A node alone, Baton − bare − one commit, ms**", "≤ 0.6", lambda x: x <= 0.6, 2),
    ("commits_a_node", "**Synced commits a node**", "≤ 1.1", lambda x: x <= 1.1, 2),
    ("long_8", "Baton, chains of 8 nodes, nodes a second", None, None, 0),
    ("long_512", "Baton, chains of 512 nodes, nodes a second", None, None, 0),
    ("long_cost", "**Cost of a node, chain of 512 / chain of 8**", "≤ 1.15", lambda x: x <= 1.15, 2),
    ("payload_node", "A node with 1 MB, ms", None, None, 1),
    ("payload_bytes_ms", "The bytes alone, ms", None, None, 1),
    ("payload_over", "**A node with 1 MB, over the bytes, ms**", "≤ 5", lambda x: x <= 5, 1),
    ("streams_p50_ms", "An event's way from its publishing to one of 1,000 WebSockets, p50, ms", None, None, 1),
    ("streams_p95_ms", "**The same, p95, ms** (on an idle machine)", "≤ 10", lambda x: x <= 10, 1),
    ("streams_reconnects", "Forced reconnects meanwhile", None, None, 0),
    ("streams_lost", "**Events lost, seen twice or not in order**", "0", lambda x: x == 0, 0),
    ("streams_web_mb", "The web process with its 1,000 WebSockets, MB", None, None, 0),
    ("streams_commit_ms", "Commit probe meanwhile, ms", None, None, 2),
)


def write(figures: Figures, asked: argparse.Namespace) -> str:
    """The page's text."""
    introduction = _INTRODUCTION.format(
        rounds=asked.rounds,
        machine=_machine(),
        workers=asked.workers,
        threads=asked.threads,
        events="no task events" if asked.no_events else "task events on (`-E`)",
        level=asked.log_level,
    )
    method = _METHOD.format(
        chains=asked.chains,
        alone=ALONE_CHAINS,
        long=LONG_CHAINS,
        nodes=LONG_NODES,
        payload=PAYLOAD_CHAINS,
        sockets=SOCKETS,
        events=EVENTS_A_SECOND,
        reconnects=RECONNECTS,
    )
    return f"{introduction}\n{_table(figures)}\n\n{method}"


def keep(text: str) -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")


def _table(figures: Figures) -> str:
    lines = ["| what | median | range | target | |", "|---|---|---|---|---|"]
    for name, what, target, met, digits in _ROWS:
        if of := figures.rounds.get(name):
            median = statistics.median(of)
            judged = max(of) if target == "0" else median  # never means in no round
            verdict = "" if met is None else "met" if met(judged) else "**not met**"
            span = f"{min(of):,.{digits}f} to {max(of):,.{digits}f}"
            lines.append(f"| {what} | {median:,.{digits}f} | {span} | {target or ''} | {verdict} |")
    return "\n".join(lines)


def _machine() -> str:
    """What ran where, without names: processors, memory, load, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "psycopg2-binary"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}, {packages}; "
        f"load average at the end {os.getloadavg()[0]:.1f}, the benchmark's own included."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
