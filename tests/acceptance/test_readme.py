"""The README for real: its quick start and Celery's own commands, on a whole instance."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.acceptance.house import ROOT, House, clean_environment
from tests.docs.pages import block_after

README = ROOT / "README.md"


@pytest.mark.skipif(not shutil.which("curl"), reason="the quick start is written for curl")
def test_the_quick_start_runs(house: House) -> None:
    # Given the block as it stands, but for this instance's address and data dir
    script = block_after(README, "Quick start", "bash")
    assert len(script.splitlines()) == 10
    script = script.replace("http://localhost:8080", house.base_url).replace(".baton/", f"'{house.data_dir}'/")
    # When it runs in a shell
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, env=clean_environment(), timeout=100
    )
    # Then the script was written, and the events of the second run came to their end
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"chain":"script"' in done.stdout
    assert done.stdout.count("event: step_succeeded") == 5
    assert "event: run_completed" in done.stdout
    assert '"next_cursor"' in done.stdout


@pytest.mark.parametrize("command", ["inspect ping", "inspect registered", "status", "purge -f"])
def test_celerys_own_commands_work(house: House, command: str) -> None:
    assert f".venv/bin/celery -A tasks {command}\n" in README.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks", *command.split()],
        cwd=ROOT, env=clean_environment(BATON_DATA_DIR=str(house.data_dir)), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    if command == "inspect registered":
        assert "script.write" in done.stdout
    if command == "status":
        assert "worker-1@" in done.stdout


def test_a_runs_result_is_there_for_celery_clients(house: House) -> None:
    run = house.run("probe", {"steps": 2})
    script = "import sys; from tasks import app; print(app.AsyncResult(sys.argv[1]).get(timeout=60))"
    assert script in README.read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", script, run["run_id"]],
        cwd=ROOT, env=clean_environment(BATON_DATA_DIR=str(house.data_dir)), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.replace("'", '"')) == run["output"]
