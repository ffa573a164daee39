"""Group commit: one statement for all who commit now; alone it is the plain commit, and a bad row fails alone."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2
import pytest

from chains.submit import SubmitRequest, submit
from storage import broker, checkpoints, group_commit
from storage.checkpoints import Checkpoint, Committed, Lease, Next
from storage.postgres import Unavailable
from tests.conftest import Servers
from tests.engine.conftest import Runs
from tests.engine.workers import Workers

WORKER = uuid4()


def checkpoint(step: str = "1", output: str = "{}") -> Checkpoint:
    events = (["step_succeeded"], [step], ["probe.work"], ['{"attempt": 1}'])
    return Checkpoint(output, None, "0" * 64, None, datetime.now(UTC), events)


@pytest.fixture
def leases(engine_env: None, workers: Workers, runs: Runs) -> list[Lease]:
    """The first steps of twelve runs, claimed by this process: no worker is there to take them."""
    workers.stop_all()
    return [claimed(runs.tenant, submit(runs.tenant, SubmitRequest("probe", {})).run_id) for _ in range(12)]


def claimed(tenant: UUID, run: UUID, pos: int = 0) -> Lease:
    lease = checkpoints.claim(tenant, run, 1, pos, 1, uuid4(), WORKER, 60, ())
    assert lease is not None
    return lease


def told(_: Committed) -> broker.Command:
    """What the viewers of a commit hear."""
    return "PUBLISH", "group commit", "a step succeeded"


def together(leases: list[Lease], one: Checkpoint | None = None) -> list[object]:
    """Commit all of them at once, each from a thread of its own: answers or errors in the same order."""
    begin = threading.Barrier(len(leases))

    def commit(lease: Lease) -> object:
        begin.wait(10)
        try:
            return group_commit.commit(lease, one or checkpoint(lease.key), told)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(leases)) as pool:
        return list(pool.map(commit, leases))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many commits each statement took."""
    seen: list[int] = []
    many, one = checkpoints.commit_many, checkpoints.commit

    def count_many(db: object, commits: list[tuple[Lease, Checkpoint]]) -> object:
        seen.append(len(commits))
        return many(db, commits)  # type: ignore[arg-type]

    def count_one(db: object, lease: Lease, given: Checkpoint) -> object:
        seen.append(1)
        return one(db, lease, given)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints, "commit_many", count_many)
    monkeypatch.setattr(checkpoints, "commit", count_one)
    yield seen


def test_those_who_commit_meanwhile_share_a_statement(leases: list[Lease], runs: Runs, statements: list[int]) -> None:
    # Given twelve steps of twelve runs, When they commit at once
    answers = together(leases)
    # Then fewer statements than steps were written, and each step is there once with its events
    assert all(answer is not None and not isinstance(answer, Exception) for answer in answers)
    assert sum(statements) == 12 > len(statements)
    for lease in leases:
        assert runs.steps(lease.run_id)["1"]["version"] == 1
        runs.check(lease.run_id)


def test_who_has_just_been_answered_is_waited_for(
    leases: list[Lease], statements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two threads that committed a moment ago
    commits = group_commit._GroupCommit()
    monkeypatch.setattr(group_commit, "COMPANY_SECONDS", 60.0)
    commits._company = 2
    # When they commit again, Then they share the statement, whoever comes first
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda lease: commits.commit(lease, checkpoint(), told), leases[:2]))
    assert None not in answers
    assert statements == [2]


def test_who_does_not_come_back_is_waited_for_once(
    leases: list[Lease], statements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given eight threads that committed a moment ago, When one of them comes back, Then it commits alone after a moment
    commits = group_commit._GroupCommit()
    monkeypatch.setattr(group_commit, "COMPANY_SECONDS", 0.001)
    commits._company = 8
    assert commits.commit(leases[0], checkpoint(), told) is not None
    # When it comes again, Then nobody else is expected any more
    monkeypatch.setattr(group_commit, "COMPANY_SECONDS", 60.0)
    assert commits.commit(leases[1], checkpoint(), told) is not None
    assert statements == [1, 1]


def test_alone_it_is_the_plain_commit(leases: list[Lease], statements: list[int]) -> None:
    assert group_commit.commit(leases[0], checkpoint(), told) is not None
    assert statements == [1]


def test_a_commit_of_a_lost_lease_is_fenced_and_the_others_are_not(leases: list[Lease], runs: Runs) -> None:
    # Given twelve steps of which one has lost its lease
    stale = replace(leases[5], token=uuid4())
    answers = together([*leases[:5], stale, *leases[6:]])
    # When they commit at once, Then that one wrote nothing
    assert [index for index, answer in enumerate(answers) if answer is None] == [5]
    assert runs.steps(stale.run_id) == {}
    assert all(len(runs.steps(lease.run_id)) == 1 for lease in leases if lease is not leases[5])


def test_two_commits_of_one_run_go_into_two_statements(engine_env: None, workers: Workers, runs: Runs) -> None:
    # Given the branches of one run
    workers.stop_all()
    run = submit(runs.tenant, SubmitRequest("probe", {"steps": 1, "fan_out": 4})).run_id
    line = claimed(runs.tenant, run)
    from tasks.run_node import _commit_last

    assert _commit_last(line, checkpoint(), lambda _: []) is not None
    branches = [checkpoints.claim(runs.tenant, run, no, 0, 1, uuid4(), WORKER, 60, ()) for no in range(2, 6)]
    # When they commit at once, Then each is written, with versions and events without a gap
    answers = together([one for one in branches if one])
    assert all(answer is not None and not isinstance(answer, Exception) for answer in answers)
    assert sorted(one["version"] for one in runs.steps(run).values()) == [1, 2, 3, 4, 5]
    runs.check(run)


def test_a_bad_row_fails_alone(leases: list[Lease], runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a round in which one output is no JSON for Postgres
    bad = leases[3]

    def one_bad(lease: Lease) -> Checkpoint:
        return checkpoint(output="not json" if lease is bad else "{}")

    begin = threading.Barrier(len(leases))

    def commit(lease: Lease) -> object:
        begin.wait(10)
        try:
            return group_commit.commit(lease, one_bad(lease), told)
        except psycopg2.Error as error:
            return error

    with ThreadPoolExecutor(len(leases)) as pool:
        answers = list(pool.map(commit, leases))
    # When all commit at once, Then only that one is told so
    assert [index for index, answer in enumerate(answers) if isinstance(answer, psycopg2.DataError)] == [3]
    assert [lease for lease in leases if "1" not in runs.steps(lease.run_id)] == [bad]


def test_nobody_hangs_when_the_connection_breaks(
    leases: list[Lease], runs: Runs, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a leader whose connection is cut after its statement was written
    broken = threading.Event()
    many = checkpoints.commit_many

    def cut_after(db: object, commits: list[tuple[Lease, Checkpoint]]) -> object:
        answers = many(db, commits)  # type: ignore[arg-type]
        if not broken.is_set():
            broken.set()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return answers

    monkeypatch.setattr(checkpoints, "commit_many", cut_after)
    # When all commit at once, Then everyone gets an answer or the news that Postgres was away
    answers = together(leases)
    lost = [lease for lease, answer in zip(leases, answers, strict=True) if isinstance(answer, Unavailable)]
    assert broken.is_set() and lost
    # And a commit that did happen is recognised by its execution
    from storage.postgres import hot

    with hot() as db:
        assert all(checkpoints.was_committed(db, lease, checkpoint()) is not None for lease in lost)


def test_a_lost_answer_takes_the_next_lease_along(leases: list[Lease]) -> None:
    # Given a commit that claimed the next step along, and whose answer was lost
    following = Next(uuid4(), WORKER, 60, ("input",))
    done = replace(checkpoint(), next=following)
    assert group_commit.commit(leases[0], done, told) is not None
    # When it is recognised, Then the next step is ours: nobody else could take it
    from storage.postgres import hot

    with hot() as db:
        committed = checkpoints.was_committed(db, leases[0], done)
    assert committed is not None
    along = checkpoints.claimed_along(leases[0], done, committed)
    assert along is not None and (along.pos, along.token, along.attempt) == (1, following.token, 1)
    assert 50 < along.seconds <= 60


@pytest.mark.parametrize("point", ["leader_before", "leader_after"])
def test_a_leader_killed_around_its_statement(workers: Workers, runs: Runs, tmp_path: Path, point: str) -> None:
    # Given a worker that dies as the leader of a round, before or after its statement
    workers.stop_all()
    flag = tmp_path / point
    worker = workers.start(immortal=True, BATON_FAULT_POINTS=f"{point}@3=kill:{flag}")
    # When twenty runs commit at once in it
    started = [runs.submit({"steps": 8}) for _ in range(20)]
    # Then all of them complete and nothing ran twice
    for run in started:
        runs.wait(run, seconds=30)
        assert runs.types(run).count("step_succeeded") == 8
        runs.check(run)
    assert flag.exists() and worker.exit_codes == [-signal.SIGKILL]


def test_a_leader_killed_in_its_statement(workers: Workers, runs: Runs) -> None:
    # Given a run whose row somebody else holds, so that its commit waits in the middle of its statement
    workers.stop_all()
    worker = workers.start(immortal=True)
    run = runs.submit({"steps": 8, "sleep_ms": 50})
    runs.wait_event(run, "step_succeeded", "1")
    blocker = psycopg2.connect(runs.db.dsn, password=runs.db.info.password)
    with blocker.cursor() as cursor:
        cursor.execute("SELECT 1 FROM runs WHERE id = %s FOR UPDATE", [str(run)])
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    runs.until(lambda: runs.rows(waiting)[0][0] > 0, 10, "no commit waits")
    # When the worker is killed there and the row is let go
    worker.signal(signal.SIGKILL)
    blocker.rollback()
    blocker.close()
    # Then the run completes, each step once
    runs.wait(run, seconds=30)
    assert runs.types(run).count("step_succeeded") == 8
    runs.check(run)


def test_a_slow_postgres_slows_the_taking_of_messages(workers: Workers, runs: Runs) -> None:
    # Given a worker of two threads, and a table that takes no step for a while
    workers.stop_all()
    blocker = psycopg2.connect(runs.db.dsn, password=runs.db.info.password)
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE steps IN EXCLUSIVE MODE")
    worker = workers.start(concurrency=2)
    # When ten runs are there to be done
    started = [runs.submit({"steps": 8}) for _ in range(10)]
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'steps'::regclass"
    runs.until(lambda: runs.rows(waiting)[0][0] == 1, 10, "no group waits")
    runs.until(lambda: worker.received() == 2, 10, "the threads took no messages")
    # Then one statement waits, each thread waits for its own commit, and the other runs stay in the queue
    assert broker.queue_lengths(["agents"]) == {"agents": 8}
    # And when Postgres goes on, so do they
    blocker.rollback()
    blocker.close()
    for run in started:
        runs.wait(run, seconds=30)
        runs.check(run)
