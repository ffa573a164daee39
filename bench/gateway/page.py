"""The page docs/gateway-benchmarks.md, written by the command: what must be, what was seen, and how it was measured."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.figures import Figures
from bench.gateway import death, measures, overhead
from bench.gateway.rows import BESIDE, FIRST_TOKEN_SECONDS, JUDGED
from tests.agents.fault_proxy import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "gateway-benchmarks.md"

_INTRODUCTION = """\
# Benchmarks of the model gateway

Written by `python -m bench.gateway`; do not edit. One measure alone: `python -m bench.gateway --only NAME`, with a name
of the last column; then this page stays as it is. Figures with a range are the median of {rounds} rounds.

{machine}
"""

_METHOD = """\
## How it is measured

The servers are the benchmark's own: a PostgreSQL and a Redis, models in processes of their own that speak OpenAI's
protocol. Backends are of the type `vllm`.

- **faults**: {calls:,} calls by {threads} threads through `ctx.models.show`, on a primary that gives {share:.0%} of its
  requests a fault, beside a healthy second that costs twice as much. The faults are drawn by a seed from all {kinds} of
  the tests' fault proxy (`tests/agents/fault_proxy.py`); silence ends after {first:g} s (`first_token_seconds`). The
  answer is a function of the question, so that a wrong or a spliced one is seen, in what the call returns and in what a
  live viewer was shown. Added is what a call takes longer than the same one on a healthy primary before; it must be at
  most twice `first_token_seconds` in p95. The books: the tenant's budget, the sum of its call log, and for every answer
  of which the provider told the tokens, what the provider billed; and nothing may be left reserved.
  With so many faults the breaker opens again and again, and calls go straight to the second: that is its work. In
  "every fault met" the benchmark closes it before each call, so that every call begins at the primary.
- **death**: {callers} callers ask one question after another; when all of them wait for an answer of the primary, it is
  killed (`SIGKILL`: connections are refused) or frozen (`SIGSTOP`: they are accepted, and nothing comes). In the same
  moment {newcomers} more begin to ask. `first_token_seconds` is {default:g} s, the default.
- **overhead**: {overhead} new questions in {turns} turns a round to a model that answers at once with one word. Baton:
  `ctx.models.chat` and `.stream` with budget, breaker, call log and the caches of level 1 and 2, which all miss.
  LiteLLM: its `Router` with a fallback and one retry, all of it in the process's memory: no budget, no log, no cache.
  Its map of prices is not downloaded. Overhead is p50 less that of the same question over httpx alone, in the same
  process. Both take turns on the same server; import, first answer and memory are those of a fresh process each round,
  and Baton's first answer includes its connections to PostgreSQL and Redis.
- **caches**: `python -m bench.model_cache`: one lookup, end to end, among so many entries; for L3 that includes the
  misses of L1 and L2 and the embedding. The pairs of questions are those of `evals/semantic_cache.yaml`, at the
  threshold 0.92; its first lines say how they were labelled and held out.
"""


def page(figures: Figures, rounds: int) -> str:
    """The page's text."""
    introduction = _INTRODUCTION.format(rounds=rounds, machine=_machine("litellm_import_ms" in figures.rounds))
    return f"{introduction}\n{_judged(figures)}\n\n## What stands beside it\n\n{_beside(figures)}\n\n{_method()}"


def keep(text: str) -> None:
    """Write the page."""
    PAGE.write_text(text, encoding="utf-8")


def _method() -> str:
    return _METHOD.format(
        calls=measures.CALLS,
        threads=measures.THREADS,
        share=measures.SHARE,
        kinds=len(FAULTS),
        first=FIRST_TOKEN_SECONDS,
        callers=measures.CALLERS,
        newcomers=death.NEWCOMERS,
        default=measures.DEFAULT_FIRST_TOKEN_SECONDS,
        overhead=measures.OVERHEAD_CALLS,
        turns=overhead.TURNS,
    )


def _judged(figures: Figures) -> str:
    rows = []
    for row in JUDGED:
        of = row.target
        there = of.figure in figures.rounds
        seen = _said(figures, of.figure, of.digits) if there else ("", "")
        rows.append((of.what, row.must(), *seen, row.verdict(figures) if there else "not measured", f"`{row.measure}`"))
    return _table(("what", "must", "seen", "range", "", "measure"), rows)


def _beside(figures: Figures) -> str:
    rows = ((what, *_said(figures, name, digits)) for name, what, digits in BESIDE if name in figures.rounds)
    return _table(("what", "seen", "range"), rows)


def _said(figures: Figures, name: str, digits: int) -> tuple[str, str]:
    """A figure's median and, of several rounds, its range in words."""
    of = figures.rounds[name]
    spread = f"{min(of):,.{digits}f} to {max(of):,.{digits}f}" if len(of) > 1 else ""
    return f"{figures.median(name):,.{digits}f}", spread


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


def _machine(with_litellm: bool) -> str:
    """What ran where, without names."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = [f"{name} {version(name)}" for name in ("langchain-openai", "openai", "redis", "psycopg2-binary")]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join([*packages, *([_litellm()] if with_litellm else ())])}; "
        f"load average at the end {os.getloadavg()[0]:.1f}, the benchmark's own included."
    )


def _litellm() -> str:
    found = re.search(r"^litellm==(\S+)", overhead.PEERS_LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return f"litellm {found.group(1)}" if found else "litellm"
