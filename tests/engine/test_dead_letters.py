"""Dead letters: what was given up is found there, and a replay is a resume."""

from __future__ import annotations

from chains.resume import resume
from storage.reads import dead_letters
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess


def test_a_failed_run_is_a_dead_letter_until_it_is_replayed(worker: WorkerProcess, runs: Runs) -> None:
    """Given a run that failed for good, when dead letters are read, it is there with its step; replayed, it is gone."""
    run = runs.submit({}, "final")
    runs.wait(run, "failed")
    (letter,), _ = dead_letters.page(runs.tenant)
    assert (letter["run_id"], letter["step"], letter["code"]) == (run, "final", "bad_idea")
    resume(runs.tenant, run)
    runs.wait(run)
    assert dead_letters.page(runs.tenant) == ([], None)
