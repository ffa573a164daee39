"""What the gateway costs on a model that does nothing, beside LiteLLM's Router, by turns on the same server.

Each round starts both anew: import, first answer and memory are those of a fresh process.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from contextlib import ExitStack

from bench.asking import ROOT
from bench.gateway.helpers import Helper, started

PEERS_PYTHON = ROOT / ".venv-gateway-peers" / "bin" / "python"
PEERS_LOCK = ROOT / "bench" / "peers" / "gateway.lock"
CONTESTANTS = {"baton": "bench.gateway.ours", "litellm": "bench.peers.litellm_router"}
THREADS = 8
TURNS = 4  # of each contestant in a round, one after the other


def install_peers() -> bool:
    """Make LiteLLM's environment at first use; False where that cannot be done: then it is left out."""
    command = [sys.executable, str(ROOT / "operate" / "install.py"), "--gateway-peers"]
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0


def round_of(with_litellm: bool, calls: int) -> dict[str, float]:
    """One round's figures: how each contestant starts, then its calls alone and in threads, in turns."""
    figures: dict[str, float] = {}
    names = [name for name in CONTESTANTS if with_litellm or name != "litellm"]
    with ExitStack() as stack:
        url = stack.enter_context(started("bench.gateway.noop")).hello
        here: dict[str, Helper] = {}
        for name in names:
            python = PEERS_PYTHON if name == "litellm" else sys.executable
            here[name] = stack.enter_context(started(CONTESTANTS[name], url, python=python))
            figures |= {f"{name}_{what}": figure for what, figure in here[name].hello.items()}
        for threads in (1, THREADS):
            times = _by_turns(here, threads, calls)
            for (name, kind), of in times.items():
                figures |= _spread(f"{name}_{kind}_{threads}", of)
        for name in names:
            for kind, beside in (("chat", "bare"), ("stream", "bare_stream")):
                key = f"{name}_{kind}"
                figures[f"{key}_overhead_ms"] = figures[f"{key}_1_p50_ms"] - figures[f"{name}_{beside}_1_p50_ms"]
    return figures


def _by_turns(here: dict[str, Helper], threads: int, calls: int) -> dict[tuple[str, str], list[float]]:
    """The milliseconds of every call, by contestant and kind; what the machine does meanwhile falls on all of them."""
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(TURNS):
        for kind in ("chat", "bare", "stream", "bare_stream"):
            for name, contestant in here.items():
                told = contestant.ask(kind=kind, calls=calls // TURNS, threads=threads)
                times.setdefault((name, kind), []).extend(told["ms"])
    return times


def _spread(name: str, times: list[float]) -> dict[str, float]:
    return {
        f"{name}_p50_ms": statistics.median(times),
        f"{name}_p95_ms": sorted(times)[len(times) * 95 // 100],
    }
