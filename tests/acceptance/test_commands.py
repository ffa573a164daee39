"""`manage.py run`, `runs`, `dead-letters`, `doctor` on an instance as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.house import ROOT, House, clean_environment, wait_for


def test_an_empty_input_is_an_input(house: House) -> None:
    done = house.manage("run", "probe", "{}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["input"] == {}


def test_a_refusal_is_one_line(house: House) -> None:
    for arguments, told in (
        (("run", "nope", "{}"), "404 not_found"),
        (("run", "probe", '{"steps": 0}'), "input.steps: "),
        (("runs", "cancel", house.run("probe", {"steps": 1})["run_id"]), "409 wrong_state"),
    ):
        done = house.manage(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and told in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_dead_letters_of_a_step_and_of_a_run_without_one(house: House) -> None:
    # Given a run whose node failed for good, and one that its deadline ended between steps
    failed = house.run("probe", {"steps": 1, "fail": {"1": -1}})["run_id"]
    late = house.run("probe", {"steps": 30, "sleep_ms": 100}, deadline_seconds=1)["run_id"]
    # When they are listed, then each line says where and why
    done = house.manage("dead-letters", "list")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}
    assert lines[failed][0] == "1" and lines[failed][1].startswith("node_failed")
    assert lines[late][1].startswith("deadline_exceeded")
    # And replay goes on with the one that failed
    assert house.manage("dead-letters", "replay", failed).returncode == 0
    assert house.wait_for_run(failed)["status"] == "completed"


def test_following_a_run_outlives_the_web_process(house: House) -> None:
    # Given a terminal that follows a run
    command = [sys.executable, str(ROOT / "manage.py"), "run", "probe", '{"steps": 12, "sleep_ms": 300}', "--follow"]
    following = subprocess.Popen(
        [*command, "--data-dir", str(house.data_dir)],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    shown = [following.stdout.readline() for _ in range(4)]
    # When the web process is killed in the middle
    house.kill("web")
    # Then it shows every event once, to the end
    out, _ = following.communicate(timeout=60)
    lines = [*shown, *out.splitlines()]
    numbers = [int(line.split()[0]) for line in lines if line.split() and line.split()[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) == 27
    assert following.returncode == 0
    wait_for(house.answers_ready, "ready again")


def test_a_chain_package_that_is_not_there_is_told_in_one_line(house: House, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor", "--data-dir", str(house.data_dir)],
        cwd=ROOT,
        env=clean_environment(BATON_CHAINS="not_there"),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: BATON_CHAINS") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def broken(:", "SyntaxError"),
        ("total = 1\nraise RuntimeError('no way')", "RuntimeError: no way ("),
        (
            "from chains.definition import Chain, step\nODD = Chain('odd', version='1', body=step('no.such'))",
            "no.such (in odd 1)",
        ),
    ],
)
def test_a_package_of_chains_that_cannot_run_is_told_in_one_line(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "__init__.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "operate.own_chains"],
        cwd=ROOT,
        env=clean_environment(BATON_CHAINS="wrong", PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("error: BATON_CHAINS") and told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_up_refuses_a_package_of_chains_that_is_not_there(tmp_path: Path) -> None:
    # Given an instance whose workers could never start
    one = House(tmp_path / "data", "--quiet", "--no-flower", BATON_CHAINS="not_there").start()
    assert one.up is not None
    # When it is started, then it ends by itself and says why in one line
    assert one.up.wait(60) == 1
    assert "error: BATON_CHAINS: the package 'not_there' cannot be loaded" in one.output.read_text()
    assert not one.rows()


def test_a_database_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--data-dir", str(tmp_path / "data")],
        cwd=ROOT,
        env=clean_environment(DATABASE_URL="postgresql://owner:secret@127.0.0.1:1/none", BATON_SECRET="s" * 40),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the database of DATABASE_URL does not answer")
    assert len(done.stderr.splitlines()) == 1
