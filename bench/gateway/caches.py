"""The caches' own benchmark, bench/model_cache.py, as figures: it prints a line for each."""

from __future__ import annotations

import re
import subprocess
import sys

from bench.asking import ROOT

LIMIT_SECONDS = 1800.0

_TIMES = re.compile(r"^(l1|l2|miss|l3|l3 small): p50 ([\d.]+) ms, p95 ([\d.]+) ms$", re.MULTILINE)
_PAIRS = re.compile(r"^(tune|held_out): (\d+) of (\d+) paraphrases hit, (\d+) of (\d+) near misses$", re.MULTILINE)


def figures() -> dict[str, float]:
    """Run it; its figures. RuntimeError where it prints others than are read here."""
    command = [sys.executable, "-m", "bench.model_cache"]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_SECONDS)
    found = figures_in(ran.stdout)
    if missing := {"l2_p50_ms", "l3_p50_ms", "held_out_hits", "held_out_false"} - set(found):
        raise RuntimeError(f"bench.model_cache did not print {', '.join(sorted(missing))}")
    return found


def figures_in(text: str) -> dict[str, float]:
    """What the lines say. hits: paraphrases that hit, in %; false: near-misses that hit."""
    found: dict[str, float] = {}
    for what, p50, p95 in _TIMES.findall(text):
        name = what.replace(" ", "_")
        found |= {f"{name}_p50_ms": float(p50), f"{name}_p95_ms": float(p95)}
    for part, hits, paraphrases, wrong, _ in _PAIRS.findall(text):
        found |= {f"{part}_hits": 100 * int(hits) / int(paraphrases), f"{part}_false": int(wrong)}
    return found
