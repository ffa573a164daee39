"""The embedded model's process: who may ask it, where it listens, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from gateway.backend import Backend
from gateway.backends import embedded
from storage.embedded import processes

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
# Starts the model as a child, tells its pid, and waits.
PARENT = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"


def wait_until(happened: object, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def test_it_wants_its_key(embedded_model: Backend) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{embedded_model.endpoint}/models", timeout=5)
    assert refused.value.code == 401


def test_it_listens_on_this_machine_only(embedded_model: Backend) -> None:
    port = int(embedded_model.endpoint.split(":")[2].split("/")[0])
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [
        address for address in listening if address.endswith(f":{port:04X}") and not address.startswith("0100007F")
    ] == []


def test_its_key_does_not_stand_in_the_command_line(tmp_path: Path) -> None:
    plan = embedded.prepare(tmp_path)
    assert plan.key not in " ".join(plan.argv)
    assert (plan.folder / "server.json").stat().st_mode & 0o077 == 0


def test_a_new_start_ends_an_earlier_life_and_keeps_port_and_key(tmp_path: Path) -> None:
    first = embedded.prepare(tmp_path)
    child = subprocess.Popen(first.argv, env=ENVIRONMENT, cwd=first.folder)
    wait_until(lambda: processes.answers(first.port))
    again = embedded.prepare(tmp_path)
    assert child.wait(10) is not None
    assert (again.port, again.key) == (first.port, first.key)


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    # Given a model that somebody started
    plan = embedded.prepare(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *plan.argv], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    wait_until(lambda: processes.answers(plan.port))
    # When that process is killed, the model does not stay behind
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    wait_until(lambda: processes.start_time(pid) is None)
