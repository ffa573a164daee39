"""The benchmark's page and chart, from made-up figures: verdicts, who took part, a picture that is well-formed."""

from __future__ import annotations

import argparse
from xml.etree import ElementTree

import pytest

from bench import report
from bench.chart import chart
from bench.figures import Figures, spread
from bench.rows import BESIDE, TARGETS, Target

ASKED = argparse.Namespace(rounds=3, chains=500, workers=2, threads=8, no_events=False, log_level="WARNING")
SPEED = {
    "throughput_bare": [600.0, 500.0, 700.0],
    "throughput_baton": [1200.0, 1500.0, 1300.0],
    "throughput_over_bare": [2.0, 3.0, 1.86],
}
PEERS = {"throughput_dbos": [500.0, 510.0, 490.0], "throughput_langgraph": [700.0, 720.0, 710.0]}
QUICK = Target("quick", "Quick", must=2.0, goal=3.4, at_least=True)
SMALL = Target("small", "Small", must=0.8, goal=0.5, probe="probe")
NEVER = Target("lost", "Lost", must=0, never=True)


@pytest.mark.parametrize(
    ("target", "rounds", "verdict"),
    [
        (QUICK, {"quick": [1.9, 2.0, 9.0]}, "met"),
        (QUICK, {"quick": [3.4]}, "met, goal too"),
        (QUICK, {"quick": [1.9, 1.99, 9.0]}, "**not met**"),
        (SMALL, {"small": [0.8], "probe": [0.9]}, "met"),
        (SMALL, {"small": [0.5], "probe": [0.1]}, "met, goal too"),
        (SMALL, {"small": [0.81], "probe": [0.2]}, "**not met**"),
        (SMALL, {"small": [0.81], "probe": [0.31]}, "**not met**, with a commit of 0.31 ms (the target is for 0.2)"),
        (NEVER, {"lost": [0, 0, 0]}, "met"),
        (NEVER, {"lost": [0, 0, 1]}, "**not met**"),
    ],
)
def test_verdicts(target: Target, rounds: dict[str, list[float]], verdict: str) -> None:
    assert target.verdict(Figures(rounds)) == verdict


def test_a_page_shows_what_was_measured_and_nothing_else() -> None:
    page = report.page(Figures(SPEED | PEERS), ASKED)
    assert "| Nodes a second ÷ bare Celery, chains of 8 | 2.00 | 1.86 to 3.00 | ≥ 2 | ≥ 3.4 | met |" in page
    assert "| Chains of 8: Baton, nodes a second | 1,300 | 1,200 to 1,500 |" in page
    assert "LangGraph" in page and "could not be installed" not in page
    assert "WebSockets, p95" not in page


def test_a_page_says_that_the_peers_are_missing() -> None:
    assert "could not be installed" in report.page(Figures(SPEED), ASKED)


def test_no_figure_has_two_rows() -> None:
    named = [*(target.figure for target in TARGETS), *(name for name, _, _ in BESIDE)]
    assert len(named) == len(set(named))


@pytest.mark.parametrize(("rounds", "bars"), [(SPEED | PEERS, 4), (SPEED, 2)])
def test_the_chart_has_a_bar_for_everyone_who_took_part(rounds: dict[str, list[float]], bars: int) -> None:
    drawn = ElementTree.fromstring(chart(Figures(rounds)))
    parts = [part for part in drawn.iter() if part.tag.endswith("rect") and part.get("class") in ("bar", "ours")]
    words = [part.text or "" for part in drawn.iter() if part.tag.endswith("text")]
    assert len(parts) == bars
    assert "1,300 · 2.00 × bare Celery" in words
    assert float(parts[1].get("width") or 0) > float(parts[0].get("width") or 0)
    assert all(part.get("x") is None or float(part.get("x") or 0) < 760 for part in drawn.iter())


def test_a_spread_of_a_hundred_times() -> None:
    assert spread("way", range(100)) == {"way_p50_ms": 50, "way_p95_ms": 95, "way_max_ms": 99}
