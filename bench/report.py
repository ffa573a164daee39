"""The page docs/benchmarks.md and its chart, written by the command: medians, ranges, and whether targets are met."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import accepting, commits, fairness, neighbours, speed, streams
from bench.chart import chart
from bench.commands import peers_versions
from bench.contestants import SUBMITTING_THREADS
from bench.figures import Figures
from bench.rows import BESIDE, TARGETS

DOCS = Path(__file__).parent.parent / "docs"

_INTRODUCTION = """\
# Benchmarks

Written by `make bench`; do not edit. Every figure is the median of {rounds} rounds, with the smallest and the largest
beside it. All contestants ran in the same minutes on the same machine, by turns, and those whose turn it was not were
frozen. Absolute figures are this machine's; what carries over are the ratios. Judged is the median: it must reach the
one target, and the goal is where we want to be.

![Nodes a second of each contestant](benchmarks.svg)

{machine}

- **Bare Celery**: chains of tasks that do nothing, results on, Redis as broker and result backend, nothing durable.
- **Baton**: the probe chain on PostgreSQL with fsync and row-level security on; a node's result is on disk before
  anybody else goes on with it.
{peers}
- All: {workers} processes of {threads} threads. Both on Celery: prefetch 1, late acknowledgement, {events}, log level
  {level}, a Redis of the same kind and settings each.
- What is not stock Celery in Baton's workers: `tasks/hop.py` runs the quick links that follow in the same message,
  `storage/redis_transport.py` keeps one Redis client a channel and writes down only messages that take longer,
  `tasks/events.py` sends task events ten times a second, and `tasks/lifecycle.py` freezes what was imported and gives
  way to others (`BATON_WORKER_NICE`).
"""

_PEERS = """\
- **DBOS**: workflows of 8 steps that do nothing, called directly in threads, its fastest way when tried.
- **LangGraph**: graphs of 8 nodes that do nothing on its PostgresSaver, `durability="sync"`, which is what Baton
  promises as well; a saver a thread on one connection pool, its fastest way when tried.
- Both of them: a database each on the same PostgreSQL, a connection for whoever wants one, logs off. They tell no
  monitor of their steps, so they are compared with Baton without task events; with them it stands below."""

_NO_PEERS = """\
- DBOS and LangGraph, which this page compares with too, are not in it: their packages could not be installed."""

_METHOD = """\
## How it is measured

- **Chains of 8**: {chains} chains, from the first submission to the end of the last. Baton and bare Celery are given
  theirs by {submitting} threads of one process, in the calls that a web process makes (`submit` and `deliver`, or
  `apply_async`); the peers start theirs inside their processes. CPU time is that of the worker processes and of the
  servers in the same interval, so accepting counts where Postgres or Redis does it; the submitting process counts for
  neither.
- **Chains of 64**: the same with an eighth as many chains, as many nodes.
- **Alone**: {alone} chains of 8 nodes, one after another, each from its send to the message that its result is there;
  divided by 8.
- **Synced commits**: `fsyncs` of the log by client processes in `pg_stat_io`. One chain at a time no two commits share
  a sync: {committed} chains, less the commit each that accepts the run. Under load: {chains} chains are accepted while
  the workers are frozen, which is counted apart; then the workers run all of them.
- **Long chains**: {long} chains of {nodes} nodes against {short} of 8, from the first submission to the last end, as
  everywhere. Accepting is dearer a node for short chains; the figure without it stands beside it.
- **1 MB**: {payload} chains of 8 nodes that carry 1,000,000 characters each, one after another, less what these bytes
  cost in one process without any engine: made, written as JSON, hashed, in a synced file.
- **POST to 202**: {posts} posts a second for {seconds} s from a process of its own to one web process, whatever the
  answers do, each timed from the moment at which it was due; meanwhile {chains} chains of 64 nodes are in flight, and
  whoever ends is followed by the next. The posted runs have one node, and all of them end.
- **A new run beside others**: a run of one quick node every {pause:.0f} ms, {new} of them, from the return of the call
  that accepts it to the message that its result is there. Mixed load: {mixed} chains in flight, every second one of
  them with nodes that sleep 200 ms, the others with quick ones. Long run: one of 1,000 quick nodes after the other.
  Threads are free in both, cores are not.
- **A tenant's first run**: one tenant of the plan `enterprise` has {waiting} runs waiting, each one node that sleeps
  {node} ms; beside it {newcomers} tenants come, one after another, each with its first run. From the commit that
  accepts it to the start of its node, by the database's clock.
- **Streams**: {sockets} WebSockets on one web process, each on its own run, {told:.0f} events a second written by the
  engine's own call in synced transactions and published as a worker does it, to a client process of its own on the same
  machine. Then the viewers of {reconnects} runs are cut off, one after another, while these runs go on.
- **Commit probe**: one client, one row, one synced commit; beside every round, because disks change by the minute.
"""


def page(figures: Figures, asked: argparse.Namespace) -> str:
    """The page's text."""
    with_peers = "throughput_dbos" in figures.rounds
    introduction = _INTRODUCTION.format(
        rounds=asked.rounds,
        machine=_machine(with_peers),
        peers=_PEERS if with_peers else _NO_PEERS,
        workers=asked.workers,
        threads=asked.threads,
        events="no task events" if asked.no_events else "task events on (`-E`)",
        level=asked.log_level,
    )
    return f"{introduction}\n{_judged(figures)}\n\n## What stands beside it\n\n{_beside(figures)}\n\n{_method(asked)}"


def keep(text: str, figures: Figures) -> None:
    """Write the page and its chart."""
    (DOCS / "benchmarks.md").write_text(text, encoding="utf-8")
    (DOCS / "benchmarks.svg").write_text(chart(figures), encoding="utf-8")


def _method(asked: argparse.Namespace) -> str:
    return _METHOD.format(
        chains=asked.chains,
        submitting=SUBMITTING_THREADS,
        alone=speed.ALONE_CHAINS,
        committed=commits.ALONE_CHAINS,
        long=speed.LONG_CHAINS,
        nodes=speed.LONG_NODES,
        short=speed.SHORT_CHAINS,
        payload=speed.PAYLOAD_CHAINS,
        posts=accepting.POSTS_A_SECOND,
        seconds=accepting.SECONDS,
        pause=fairness.PAUSE_SECONDS * 1000,
        new=fairness.RUNS,
        mixed=fairness.MIXED_CHAINS,
        waiting=f"{neighbours.WAITING:,}",
        node=neighbours.NODE_MS,
        newcomers=neighbours.NEWCOMERS,
        sockets=streams.SOCKETS,
        told=streams.EVENTS_A_SECOND,
        reconnects=streams.RECONNECTS,
    )


def _judged(figures: Figures) -> str:
    rows = (
        (
            row.what,
            *_said(figures, row.figure, row.digits),
            row.words(row.must),
            row.words(row.goal),
            row.verdict(figures),
        )
        for row in TARGETS
        if row.figure in figures.rounds
    )
    return _table(("what", "median", "range", "must", "goal", ""), rows)


def _beside(figures: Figures) -> str:
    rows = ((what, *_said(figures, name, digits)) for name, what, digits in BESIDE if name in figures.rounds)
    return _table(("what", "median", "range"), rows)


def _said(figures: Figures, name: str, digits: int) -> tuple[str, str]:
    """A figure's median and range in words."""
    of = figures.rounds[name]
    return f"{figures.median(name):,.{digits}f}", f"{min(of):,.{digits}f} to {max(of):,.{digits}f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


def _machine(with_peers: bool) -> str:
    """What ran where, without names: processors, memory, load, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = [f"{name} {version(name)}" for name in ("celery", "kombu", "redis", "psycopg2-binary")]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}, "
        f"{', '.join([*packages, *(peers_versions() if with_peers else ())])}; "
        f"load average at the end {os.getloadavg()[0]:.1f}, the benchmark's own included."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
