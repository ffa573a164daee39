"""The measures, each a few rounds in which the contestants take turns, with a commit probe beside every round."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import probes, streams
from bench.crew import Crew
from bench.runs import Bare, Baton, alone, crowd, one, turn
from bench.servers import Servers

LONG_NODES, LONG_CHAINS = 512, 32
ALONE_CHAINS = 30
PAYLOAD_BYTES, PAYLOAD_CHAINS = 1_000_000, 4
STATISTICS_SECONDS = 11.0


@dataclass
class Figures:
    """Figures by name, one a round."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **figures: float) -> None:
        """Keep the figures of a round."""
        for name, figure in figures.items():
            self.rounds.setdefault(name, []).append(figure)

    def say(self, what: str) -> None:
        """Show the newest round of everything that begins with `what`, for whoever waits."""
        newest = ", ".join(f"{name} {of[-1]:.3f}" for name, of in self.rounds.items() if name.startswith(what))
        print(f"  {newest}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Stand:
    """The servers and both contestants' workers."""

    servers: Servers
    bare: Crew
    baton: Crew


def run(stand: Stand, names: Sequence[str], rounds: int, chains: int) -> Figures:
    """Take these measures, so many rounds each."""
    bare = Bare(stand.bare, stand.servers.bare_redis_url)
    baton = Baton(stand.baton, stand.servers.redis_url, stand.servers.keeper_url)
    figures = Figures()
    for contestant in (bare, baton):  # a first turn that does not count, beginning with the start of the workers
        crowd(contestant, 100, 8)
    for name in names:
        print(f"{name}: {rounds} rounds", file=sys.stderr, flush=True)
        for number in range(rounds):
            turns = (bare, baton) if number % 2 == 0 else (baton, bare)
            _MEASURES[name](figures, stand, turns, chains)
            figures.say(name)
    return figures


Turns = tuple[Bare | Baton, Bare | Baton]


def _throughput(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    rates = {}
    for contestant in turns:
        rate, cpu = crowd(contestant, chains, 8)
        rates[contestant.crew.name] = rate
        figures.add(**{f"throughput_{contestant.crew.name}": rate, f"throughput_cpu_{contestant.crew.name}": cpu})
    figures.add(
        throughput_commit_ms=probes.commit_ms(stand.servers.owner_url),
        throughput_ratio=rates["baton"] / rates["bare"],
        throughput_load=os.getloadavg()[0],
    )


def _alone(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    commit = probes.commit_ms(stand.servers.owner_url)
    node = {each.crew.name: statistics.median(alone(each, ALONE_CHAINS, 8, {})) for each in turns}
    commit = (commit + probes.commit_ms(stand.servers.owner_url)) / 2
    figures.add(
        alone_bare=node["bare"],
        alone_baton=node["baton"],
        alone_commit_ms=commit,
        alone_load=os.getloadavg()[0],
        alone_over=node["baton"] - node["bare"] - commit,
    )


def _commits(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    """Chains one after another: no two commits can share a sync. Accepting a run is a synced commit of its own."""
    baton = next(each for each in turns if isinstance(each, Baton))
    with turn(baton):
        time.sleep(STATISTICS_SECONDS)
        before = probes.wal_syncs(stand.servers.owner_url)
        for _ in range(ALONE_CHAINS):
            one(baton, 8, {})
        time.sleep(STATISTICS_SECONDS)
        synced = probes.wal_syncs(stand.servers.owner_url) - before
    figures.add(commits_a_node=(synced - ALONE_CHAINS) / (ALONE_CHAINS * 8))


def _long(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    baton = next(each for each in turns if isinstance(each, Baton))
    short, short_cpu = crowd(baton, LONG_NODES * LONG_CHAINS // 8 // 4, 8)
    long, long_cpu = crowd(baton, LONG_CHAINS, LONG_NODES)
    figures.add(
        long_8=short,
        long_512=long,
        long_cpu_8=short_cpu,
        long_cpu_512=long_cpu,
        long_cost=short / long,
        long_commit_ms=probes.commit_ms(stand.servers.owner_url),
    )


def _payload(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    baton = next(each for each in turns if isinstance(each, Baton))
    size = PAYLOAD_BYTES
    before = probes.bytes_ms(stand.servers.folder, size)
    node = statistics.median(alone(baton, PAYLOAD_CHAINS, 8, {"payload_bytes": size}))
    cost = (before + probes.bytes_ms(stand.servers.folder, size)) / 2
    figures.add(
        payload_node=node,
        payload_bytes_ms=cost,
        payload_over=node - cost,
        payload_commit_ms=probes.commit_ms(stand.servers.owner_url),
    )


def _streams(figures: Figures, stand: Stand, turns: Turns, chains: int) -> None:
    figures.add(**streams.measure(stand.servers.folder), streams_commit_ms=probes.commit_ms(stand.servers.owner_url))


_MEASURES: dict[str, Callable[[Figures, Stand, Turns, int], None]] = {
    "throughput": _throughput,
    "alone": _alone,
    "commits": _commits,
    "long": _long,
    "payload": _payload,
    "streams": _streams,
}
MEASURES = tuple(_MEASURES)
