"""The small version of `make chaos`: 300 runs while every fault strikes at least once."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.campaign import Plan, run

SMALL = Plan(runs=300, seed=7, per_second=5.0, gap_seconds=(1.5, 3.5), every=True, slow=0.15, alive_seconds=3.0)


@pytest.mark.timeout(280)
def test_300_runs_under_every_fault(tmp_path: Path) -> None:
    """Given 300 probe runs, when every fault strikes at least once, then the checker finds nothing wrong."""
    told: list[str] = []
    report = run(SMALL, tmp_path / "data", told.append)
    assert report.count == 0, "\n".join([*told, report.text()])
    assert report.figures["runs"] == 300
