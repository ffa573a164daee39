"""A worker killed at every point of a node's life: the run completes, and nothing that was done is done twice.

Two workers, each started again when it dies, know all the points; every test's run has a step whose key is the point's
name, so that each fault strikes once, in its own test.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

import faults
from chains.answer import answer
from chaos.effect_server import EffectServer
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers

IN_A_LINE = [
    "after_claim",
    "in_node",
    "between_intent_and_effect",
    "between_effect_and_result",
    "after_node",
    "after_commit",
]
AROUND_THE_EFFECT = ["between_intent_and_effect", "between_effect_and_result"]
AROUND_THE_SEND = ["before_send", "after_send"]
AFTER_THE_LAST = ["after_publish", "before_send", "after_send", "in_final_transition"]


@dataclass(frozen=True)
class Killing:
    """The workers that kill themselves, and the folder of the flags that tell at which points they did."""

    workers: list[WorkerProcess]
    flags: Path

    def struck(self, point: str) -> bool:
        return (self.flags / point).exists()

    def deaths(self) -> int:
        return sum(one.exit_codes.count(-signal.SIGKILL) for one in self.workers)


FAST, PLAIN = ("50", "true"), ("0", "false")
MIXED = [pytest.param(("50", "false"), marks=pytest.mark.chaos), pytest.param(("0", "true"), marks=pytest.mark.chaos)]


@pytest.fixture(scope="module", params=[FAST, PLAIN, *MIXED])
def killing(
    workers: Workers, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Killing]:
    """Two immortal workers with a fault at every point; sticky hops and group commit each on and off."""
    workers.stop_all()
    setting = dict(zip(("BATON_STICKY_MILLISECONDS", "BATON_GROUP_COMMIT"), request.param, strict=True))
    flags = tmp_path_factory.mktemp("flags")
    asked = [(point, "1/5" if point == "before_claim" else point, point) for point in faults.POINTS]
    asked += [(point, f"join_{point}", f"join_{point}") for point in AROUND_THE_SEND]
    both = [(point, f"{told}_{point}") for point in AROUND_THE_EFFECT for told in ("yes", "no")]
    asked += [(point, step, step) for point, step in both]
    told = ",".join(f"{point}@{step}=kill:{flags / flag}" for point, step, flag in asked)
    two = [workers.start(immortal=True, BATON_FAULT_POINTS=told, **setting) for _ in range(2)]
    yield Killing(two, flags)
    workers.stop_all()


@pytest.mark.parametrize("point", IN_A_LINE)
def test_in_the_middle_of_a_line(killing: Killing, runs: Runs, effect_server: EffectServer, point: str) -> None:
    """Given a step in the middle of a line, when its worker dies at this point, then the run completes."""
    run = runs.submit({"at": point}, "killed")
    runs.wait(run, seconds=20)
    verify(killing, runs, effect_server, run, point)


@pytest.mark.parametrize("point", AFTER_THE_LAST)
def test_at_the_end_of_a_segment(killing: Killing, runs: Runs, effect_server: EffectServer, point: str) -> None:
    """Given the last step of a run, when its worker dies at this point, then the run is final, once."""
    run = runs.submit({"at": point}, "killed_late")
    runs.wait(run, seconds=20)
    runs.until(lambda: killing.struck(point), 5, "the fault did not strike")
    verify(killing, runs, effect_server, run, point)


def test_a_death_between_two_links_is_seen_soon(killing: Killing, runs: Runs) -> None:
    """Given a step that committed, when its worker died before the next one was sent, that one runs within 4 s."""
    (run, *_) = runs.rows("SELECT run_id FROM steps WHERE key = 'after_commit' ORDER BY finished_at DESC")[0]
    at = {one["step"]: one["at"] for one in runs.events(run) if one["type"] == "step_succeeded"}
    assert (at["last"] - at["after_commit"]).total_seconds() <= 4


def test_before_the_claim(killing: Killing, runs: Runs, effect_server: EffectServer) -> None:
    """Given a message that was taken, when the worker dies before its claim, then the message is sent again."""
    run = runs.submit({"at": "claimed_late"}, "killed_late")
    runs.wait(run, seconds=20)
    verify(killing, runs, effect_server, run, "before_claim")


def test_while_branches_are_joined(killing: Killing, runs: Runs, effect_server: EffectServer) -> None:
    """Given two branches, when a worker dies in the transaction that would join them, then the join runs once."""
    run = runs.submit({"at": "in_join"}, "killed_join")
    runs.wait(run, seconds=20)
    verify(killing, runs, effect_server, run, "in_join")
    assert runs.column(run, "output")["executed"][-1] == "gather"


@pytest.mark.parametrize("point", AROUND_THE_SEND)
def test_around_the_send_of_what_follows(killing: Killing, runs: Runs, effect_server: EffectServer, point: str) -> None:
    """Given a join that follows, when the worker dies around the send of its segment, then the sweep sends it."""
    run = runs.submit({"at": f"join_{point}"}, "killed_join")
    runs.wait(run, seconds=20)
    runs.until(lambda: killing.struck(f"join_{point}"), 5, "the fault did not strike")
    verify(killing, runs, effect_server, run, f"join_{point}")


@pytest.mark.parametrize("answered", ["yes", "no"])
@pytest.mark.parametrize("point", AROUND_THE_EFFECT)
def test_an_at_most_once_effect_of_unknown_outcome(
    killing: Killing, runs: Runs, effect_server: EffectServer, point: str, answered: str
) -> None:
    """Given an at-most-once effect, when its worker dies around it, then nobody repeats it: a person says what was."""
    run = runs.submit({"at": f"{answered}_{point}", "kind": "at_most_once"}, "killed")
    runs.wait(run, "paused", seconds=20)
    sent = sum(len(posts) for posts in effect_server.of_run(run).values())
    assert sent == (1 if point == "between_effect_and_result" else 0)
    answer(runs.tenant, run, {"happened": answered == "yes"})
    runs.wait(run)
    assert sum(len(posts) for posts in effect_server.of_run(run).values()) == sent + (answered == "no")
    runs.check(run)


def verify(killing: Killing, runs: Runs, effect_server: EffectServer, run: UUID, point: str) -> None:
    """The fault struck; every step succeeded exactly once; the effect has one key, and at most one POST too many."""
    assert killing.struck(point), "the fault did not strike"
    steps, types = runs.steps(run), runs.types(run)
    assert {one["status"] for one in steps.values()} == {"succeeded"}
    assert types.count("step_succeeded") == len(steps)
    posts = effect_server.of_run(run)
    assert len(posts) == 1, "one effect, one key"
    assert all(len(bodies) <= 1 + (point == "between_effect_and_result") for bodies in posts.values()), posts
    assert [one["status"] for one in runs.effects(run)] == ["done"]
    runs.check(run)
