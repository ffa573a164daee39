"""How fast: nodes a second of many chains, milliseconds a node of one, long chains, large outputs."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

from bench import probes
from bench.contestants import Contestant
from bench.runs import alone, crowd, released, turn
from bench.stand import Stand

MEDIUM_NODES = 64
LONG_NODES, LONG_CHAINS = 512, 32
SHORT_CHAINS = LONG_NODES * LONG_CHAINS // 8 // 4
ALONE_CHAINS = 30
PAYLOAD_BYTES, PAYLOAD_CHAINS = 1_000_000, 4


def throughput(stand: Stand, number: int) -> dict[str, float]:
    """Chains of 8 nodes, every contestant; the peers, which tell no monitor, against Baton telling none."""
    figures = _crowds("throughput", stand, stand.all(number), stand.chains, 8)
    if stand.peers:
        quiet, cpu = _without_task_events(stand)
        figures |= {"throughput_quiet": quiet, "throughput_cpu_quiet": cpu}
        for name in (peer.crew.name for peer in stand.peers):
            figures[f"throughput_over_{name}"] = quiet / figures[f"throughput_{name}"]
            figures[f"throughput_told_over_{name}"] = figures["throughput_baton"] / figures[f"throughput_{name}"]
    return figures


def _without_task_events(stand: Stand) -> tuple[float, float]:
    with turn(stand.baton):
        stand.baton.send_task_events(False)
    try:
        return crowd(stand.baton, stand.chains, 8)
    finally:
        with turn(stand.baton):
            stand.baton.send_task_events(True)


def medium(stand: Stand, number: int) -> dict[str, float]:
    """Chains of 64 nodes, an eighth as many: Baton and bare Celery."""
    return _crowds("medium", stand, stand.both(number), max(1, stand.chains * 8 // MEDIUM_NODES), MEDIUM_NODES)


def _crowds(what: str, stand: Stand, contestants: Sequence[Contestant], chains: int, nodes: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    for contestant in contestants:
        name = contestant.crew.name
        figures[f"{what}_{name}"], figures[f"{what}_cpu_{name}"] = crowd(contestant, chains, nodes)
    figures[f"{what}_over_bare"] = figures[f"{what}_baton"] / figures[f"{what}_bare"]
    figures[f"{what}_cpu_over_bare"] = figures[f"{what}_cpu_baton"] / figures[f"{what}_cpu_bare"]
    return {**figures, f"{what}_commit_ms": stand.commit_ms(), f"{what}_load": os.getloadavg()[0]}


def one_at_a_time(stand: Stand, number: int) -> dict[str, float]:
    """Chains of 8 nodes, one after another: Baton and bare Celery."""
    commit = stand.commit_ms()
    node = {each.crew.name: statistics.median(alone(each, ALONE_CHAINS, 8, {})) for each in stand.both(number)}
    commit = (commit + stand.commit_ms()) / 2
    return {
        "alone_bare": node["bare"],
        "alone_baton": node["baton"],
        "alone_over_bare": node["baton"] / node["bare"],
        "alone_more_ms": node["baton"] - node["bare"] - commit,
        "alone_commit_ms": commit,
        "alone_load": os.getloadavg()[0],
    }


def long(stand: Stand, number: int) -> dict[str, float]:
    """Chains of 512 nodes against chains of 8, from submission to end; and beside it without what accepting costs."""
    short, _ = crowd(stand.baton, SHORT_CHAINS, 8)
    long, _ = crowd(stand.baton, LONG_CHAINS, LONG_NODES)
    with turn(stand.baton):
        without = released(stand.baton, SHORT_CHAINS, 8) / released(stand.baton, LONG_CHAINS, LONG_NODES)
    return {
        "long_8": short,
        "long_512": long,
        "long_cost": short / long,
        "long_released": without,
        "long_commit_ms": stand.commit_ms(),
    }


def payload(stand: Stand, number: int) -> dict[str, float]:
    """Nodes whose output has a million characters, one after another."""
    before = probes.bytes_ms(stand.servers.folder, PAYLOAD_BYTES)
    node = statistics.median(alone(stand.baton, PAYLOAD_CHAINS, 8, {"payload_bytes": PAYLOAD_BYTES}))
    cost = (before + probes.bytes_ms(stand.servers.folder, PAYLOAD_BYTES)) / 2
    return {
        "payload_node": node,
        "payload_bytes_ms": cost,
        "payload_more_ms": node - cost,
        "payload_commit_ms": stand.commit_ms(),
    }
