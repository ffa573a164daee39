"""The rows of the page: what is judged, with what it must be and what we want it to be, and what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.figures import Figures

PROBE_MS = 0.2


@dataclass(frozen=True)
class Target:
    """A figure that is judged: by its median, or in every round where it must never happen.

    goal: what we want; at_least: more is better; probe: the must holds for a commit probe of at most 0.2 ms.
    """

    figure: str
    what: str
    must: float
    goal: float | None = None
    digits: int = 2
    at_least: bool = False
    never: bool = False
    probe: str = ""

    def words(self, limit: float | None) -> str:
        """A limit as the page says it."""
        return "" if limit is None else f"{limit:g}" if self.never else f"{'≥' if self.at_least else '≤'} {limit:g}"

    def verdict(self, figures: Figures) -> str:
        """Whether it is met."""
        of = max(figures.rounds[self.figure]) if self.never else figures.median(self.figure)
        if not self._within(of, self.must):
            return "**not met**" + self._excuse(figures)
        return "met, goal too" if self.goal is not None and self._within(of, self.goal) else "met"

    def _within(self, of: float, limit: float) -> bool:
        return of >= limit if self.at_least else of <= limit

    def _excuse(self, figures: Figures) -> str:
        if not self.probe or (commit := figures.median(self.probe)) <= PROBE_MS:
            return ""
        return f", with a commit of {commit:.2f} ms (the target is for {PROBE_MS:g})"


TARGETS = (
    Target("throughput_over_bare", "Nodes a second ÷ bare Celery, chains of 8", 2.0, 3.4, at_least=True),
    Target("throughput_over_dbos", "Nodes a second ÷ DBOS, both without task events", 2.5, 4.0, at_least=True),
    Target(
        "throughput_over_langgraph",
        "Nodes a second ÷ LangGraph, both without task events",
        1.5,
        2.5,
        at_least=True,
    ),
    Target("medium_over_bare", "Nodes a second ÷ bare Celery, chains of 64", 2.0, 3.4, at_least=True),
    Target("throughput_cpu_over_bare", "CPU time a node ÷ bare Celery, chains of 8", 0.6, 0.3),
    Target("commits_loaded", "Synced commits a node under load", 0.4, 0.25),
    Target("commits_alone", "Synced commits a node, one chain at a time", 1.1),
    Target("alone_over_bare", "A node alone ÷ bare Celery", 0.8, 0.5, probe="alone_commit_ms"),
    Target("alone_more_ms", "A node alone, Baton − bare Celery − one commit, ms", 0.6),
    Target("long_cost", "Cost of a node, chain of 512 ÷ chain of 8", 1.1, 1.0),
    Target("payload_more_ms", "A node with 1 MB, over the bytes, ms", 5, digits=1),
    Target("accepting_p95_ms", "POST to 202 at 200 a second under load, p95, ms", 40, 15, digits=1),
    Target("accepting_refused", "Posts not answered with 202", 0, digits=0, never=True),
    Target("mixed_p95_ms", "A new run beside sleeping and quick chains, p95, ms", 300, digits=1),
    Target("beside_p95_ms", "A new run beside a run of 1,000 quick nodes, p95, ms", 300, digits=1),
    Target("neighbours_node_times", "A tenant's first run beside 10,000 waiting ones, p95, in node times", 1.0),
    Target("streams_p95_ms", "An event's way to one of 1,000 WebSockets, p95, ms", 10, digits=1),
    Target("streams_lost", "Events lost, seen twice or not in order", 0, digits=0, never=True),
)

# Figure, what it is, digits.
BESIDE = (
    ("throughput_bare", "Chains of 8: bare Celery, nodes a second", 0),
    ("throughput_baton", "Chains of 8: Baton, nodes a second", 0),
    ("throughput_quiet", "Chains of 8: Baton without task events, nodes a second", 0),
    ("throughput_dbos", "Chains of 8: DBOS, nodes a second", 0),
    ("throughput_langgraph", "Chains of 8: LangGraph, nodes a second", 0),
    ("throughput_cpu_bare", "Chains of 8: bare Celery, CPU ms a node", 2),
    ("throughput_cpu_baton", "Chains of 8: Baton, CPU ms a node", 2),
    ("throughput_cpu_quiet", "Chains of 8: Baton without task events, CPU ms a node", 2),
    ("throughput_cpu_dbos", "Chains of 8: DBOS, CPU ms a node", 2),
    ("throughput_cpu_langgraph", "Chains of 8: LangGraph, CPU ms a node", 2),
    ("throughput_told_over_dbos", "Chains of 8: Baton with task events ÷ DBOS", 2),
    ("throughput_told_over_langgraph", "Chains of 8: Baton with task events ÷ LangGraph", 2),
    ("throughput_commit_ms", "Chains of 8: commit probe, ms", 2),
    ("throughput_load", "Chains of 8: load average", 1),
    ("medium_bare", "Chains of 64: bare Celery, nodes a second", 0),
    ("medium_baton", "Chains of 64: Baton, nodes a second", 0),
    ("medium_cpu_bare", "Chains of 64: bare Celery, CPU ms a node", 2),
    ("medium_cpu_baton", "Chains of 64: Baton, CPU ms a node", 2),
    ("medium_cpu_over_bare", "Chains of 64: CPU time a node ÷ bare Celery", 2),
    ("medium_commit_ms", "Chains of 64: commit probe, ms", 2),
    ("medium_load", "Chains of 64: load average", 1),
    ("alone_bare", "Alone: bare Celery, ms a node", 2),
    ("alone_baton", "Alone: Baton, ms a node", 2),
    ("alone_commit_ms", "Alone: commit probe, ms", 2),
    ("alone_load", "Alone: load average", 1),
    ("commits_accepting", "Synced commits an accepted run", 2),
    ("commits_commit_ms", "Synced commits: commit probe, ms", 2),
    ("long_8", "Long: Baton, chains of 8, nodes a second", 0),
    ("long_512", "Long: Baton, chains of 512, nodes a second", 0),
    ("long_released", "Long: cost of a node, 512 ÷ 8, from the release of frozen workers on: accepting left out", 2),
    ("long_commit_ms", "Long: commit probe, ms", 2),
    ("payload_node", "1 MB: ms a node", 1),
    ("payload_bytes_ms", "1 MB: the bytes alone, ms", 1),
    ("payload_commit_ms", "1 MB: commit probe, ms", 2),
    ("accepting_p50_ms", "POST to 202: p50, ms", 1),
    ("accepting_max_ms", "POST to 202: the slowest, ms", 1),
    ("accepting_commit_ms", "POST to 202: commit probe, ms", 2),
    ("mixed_p50_ms", "A new run beside sleeping and quick chains: p50, ms", 1),
    ("mixed_max_ms", "A new run beside sleeping and quick chains: the slowest, ms", 1),
    ("beside_p50_ms", "A new run beside a long one: p50, ms", 1),
    ("beside_max_ms", "A new run beside a long one: the slowest, ms", 1),
    ("fairness_commit_ms", "A new run: commit probe, ms", 2),
    ("neighbours_p50_ms", "A tenant's first run beside 10,000 waiting ones: p50, ms (a node takes 200)", 0),
    ("neighbours_max_ms", "A tenant's first run beside 10,000 waiting ones: the slowest, ms", 0),
    ("neighbours_waiting", "A tenant's first run: how many of the other's still waited at the end", 0),
    ("streams_p50_ms", "Streams: p50, ms", 1),
    ("streams_max_ms", "Streams: the slowest, ms", 1),
    ("streams_reconnects", "Streams: forced reconnects", 0),
    ("streams_web_mb", "Streams: the web process with its WebSockets, MB", 0),
    ("streams_commit_ms", "Streams: commit probe, ms", 2),
)
