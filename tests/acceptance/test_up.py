"""`manage.py up` and `ps`: what runs, what is started again, what is left alone."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from storage.embedded import postgres, redis
from tests.acceptance.house import EVERYTHING, ROOT, House, alive, wait_for

RESTART_SECONDS = 1.0
PS_SECONDS = 2.0


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")


def started_at(pid: int) -> float:
    """Seconds between the machine's boot and the process's start."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_ps_gives_the_processes_themselves(house: House) -> None:
    # Given a whole instance, when ps is asked
    rows = house.rows()
    # Then every process is there with its own pid, a child of `up` and no shell
    assert {row["name"] for row in rows} == EVERYTHING
    assert house.up is not None
    for row in rows:
        assert set(row) == {"name", "pid", "port"}
        assert parent_of(row["pid"]) == house.up.pid
        assert Path(f"/proc/{row['pid']}/comm").read_text().strip() not in ("sh", "bash", "dash")
    # And those that listen say where
    listening = {row["name"] for row in rows if row["port"]}
    assert listening == {"web", "flower", "postgres", "redis", "model"}
    postmaster = int((house.data_dir / "postgres/data/postmaster.pid").read_text().split()[0])
    assert house.ps()["postgres"] == postmaster


def test_no_secret_stands_in_a_command_line(house: House) -> None:
    secrets = json.loads((house.data_dir / "kept.json").read_text())
    private = [secrets["secret"], house.api_key]
    for pid in house.ps().values():
        assert not any(word in " ".join(command_of(pid)) for word in private)
    for name in ("api_key", "env", "kept.json"):
        assert stat.S_IMODE((house.data_dir / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", sorted(EVERYTHING))
def test_a_process_that_was_killed_is_back_within_a_second(house: House, name: str) -> None:
    # Given a running process, when it is killed
    killed = house.ps()[name]
    killed_at = time.clock_gettime(time.CLOCK_BOOTTIME)
    os.kill(killed, signal.SIGKILL)
    # Then another one runs under its name
    wait_for(lambda: house.ps().get(name, killed) != killed, f"{name} again")
    assert started_at(house.ps()[name]) - killed_at < RESTART_SECONDS


def test_the_instance_works_after_its_servers_were_killed(house: House) -> None:
    # Given an instance whose servers were just killed
    house.kill("postgres")
    house.kill("redis")
    wait_for(house.answers_ready, "ready again")
    # When a run is started, then it completes
    run = house.run("probe", {"steps": 3})
    assert run["status"] == "completed", run
    assert run["output"]["executed"] == ["1", "2", "3"]


def test_a_frozen_process_is_left_alone(house: House) -> None:
    pid = house.kill("worker-2", signal.SIGSTOP)
    try:
        time.sleep(1.0)  # several looks of `up`; there is no event to wait for
        assert house.ps()["worker-2"] == pid
    finally:
        os.kill(pid, signal.SIGCONT)


def test_ps_answers_while_every_server_is_frozen(house: House) -> None:
    pids = [house.kill(name, signal.SIGSTOP) for name in ("postgres", "redis", "web")]
    try:
        begun = time.monotonic()
        assert {row["name"] for row in house.rows()} == EVERYTHING
        assert time.monotonic() - begun < PS_SECONDS
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_shells_have_the_credentials(house: House) -> None:
    assert house.manage("psql", "-Atc", "SELECT current_user").stdout.strip() == "baton"
    assert house.manage("redis-cli", "PING").stdout.strip() == "PONG"
    assert house.manage("redis-cli", "NONSENSE").returncode == 1


def test_runs_from_the_terminal(house: House) -> None:
    # Given a run started and followed from the terminal
    done = house.manage("run", "probe", '{"steps": 2}', "--follow", timeout_seconds=40)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "run_completed" in done.stdout
    # Then it is listed and shown
    run_id = json.loads(house.manage("runs", "list", "--json").stdout)["items"][0]["run_id"]
    assert json.loads(house.manage("runs", "show", run_id).stdout)["status"] == "completed"
    # And a refusal is one line with the reason
    refused = house.manage("runs", "cancel", run_id)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: 409")
    wrong = house.manage("run", "probe", '{"steps": 0}')
    assert "steps" in wrong.stderr


def test_flower_wants_a_login(house: House) -> None:
    port = next(row["port"] for row in house.rows() if row["name"] == "flower")
    address = f"http://127.0.0.1:{port}/api/workers"

    def status(auth: tuple[str, str] | None) -> int:
        try:
            return requests.get(address, auth=auth, timeout=5).status_code
        except requests.ConnectionError:
            return 0

    wait_for(lambda: status(None), "flower answers")
    assert status(None) == 401
    assert status(("operator", "wrong")) == 401
    assert status(("operator", house.api_key)) == 200


def test_a_second_up_in_the_same_data_dir_is_refused(house: House) -> None:
    second = House(house.data_dir, "--quiet")
    second.start()
    assert second.up is not None
    assert second.up.wait(10) == 1
    assert "another `manage.py up` runs" in second.output.read_text()
    assert house.answers_ready()


def test_a_named_port_that_is_taken_is_refused(house: House, tmp_path: Path) -> None:
    port = next(row["port"] for row in house.rows() if row["name"] == "web")
    second = House(tmp_path / "second", "--quiet", "--port", str(port)).start()
    assert second.up is not None
    assert second.up.wait(10) == 1
    assert f"port {port}" in second.output.read_text()


def test_an_unknown_setting_stops_the_boot(tmp_path: Path) -> None:
    one = House(tmp_path / "one", BATON_RETENTION_DAY="3").start()
    assert one.up is not None
    assert one.up.wait(10) == 2
    assert "did you mean BATON_RETENTION_DAYS?" in one.output.read_text()


def everyone_gone(pids: dict[str, int]) -> bool:
    return not any(alive(pid) for pid in pids.values())


def session_members(leaders: set[int]) -> list[str]:
    """Processes whose session one of these led: the children of children."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) in leaders and fields[0] not in "ZX":
            found.append(entry.parent.name)
    return found


def test_lives_of_an_instance(house: House, tmp_path: Path) -> None:
    """Side by side with another one: killed whole, started from what is left, `up` alone killed, stopped by Ctrl-C."""
    # Given a second instance beside the first, in a path with spaces
    one = House(tmp_path / "an instance", "--quiet", "--no-flower", "--workers", "1")
    expected = {"web", "worker-1", "isolated", "beat", "postgres", "redis", "model"}
    try:
        one.start().wait_until_ready()
        assert house.answers_ready()
        assert not set(house.ps().values()) & set(one.ps().values())
        assert one.base_url != house.base_url
        wait_for(lambda: set(one.ps()) == expected, "every process of the second")
        key, database = one.api_key, one.manage("redis-cli", "PING").stdout
        assert database.strip() == "PONG"

        # When everything is killed at once
        pids = one.ps()
        assert one.up is not None
        for pid in [one.up.pid, *pids.values()]:
            os.kill(pid, signal.SIGKILL)
        one.up.wait()
        # Then it starts again from the stale data dir, with the same key and no second copy of anything
        one.start().wait_until_ready()
        assert one.api_key == key
        assert one.run("probe", {"steps": 2})["status"] == "completed"

        # When `up` alone is killed, then nothing stays behind
        wait_for(lambda: set(one.ps()) == expected, "every process of the second")
        pids = one.ps()
        one.up.kill()
        one.up.wait()
        wait_for(lambda: everyone_gone(pids), "the children end with `up`", seconds=15)
        wait_for(lambda: not session_members(set(pids.values())), "their children too", seconds=15)

        # When it is stopped by Ctrl-C, then it ends well and nothing stays behind
        one.start().wait_until_ready()
        pids = one.ps()
        assert one.stop(signal.SIGINT) == 0
        assert everyone_gone(pids)
        assert not session_members(set(pids.values()))
        assert one.rows() == []
    finally:
        one.stop(signal.SIGKILL)


def test_real_servers_are_used_where_they_are_named(tmp_path: Path) -> None:
    # Given servers of one's own
    database, broker = postgres.start(tmp_path / "servers"), redis.start(tmp_path / "servers")
    given = {"DATABASE_URL": database.owner_url, "REDIS_URL": broker.url}
    one = House(tmp_path / "real", "--quiet", "--no-flower", "--workers", "1", **given)
    try:
        # When an instance is started on them
        one.start().wait_until_ready()
        # Then nothing embedded starts beside them, and it works
        wait_for(lambda: "beat" in one.ps(), "every process")
        assert not {"postgres", "redis"} & set(one.ps())
        assert one.run("probe", {"steps": 2})["status"] == "completed"
        assert one.stop() == 0
    finally:
        one.stop(signal.SIGKILL)
        postgres.stop(tmp_path / "servers")
        redis.stop(tmp_path / "servers")


def test_the_doctor_finds_a_whole_instance_well(house: House) -> None:
    done = house.manage("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answer" in done.stdout


def test_help_has_one_line_a_command() -> None:
    done = subprocess.run([sys.executable, "manage.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=20)
    commands = [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()]
    known = "up ps psql redis-cli run runs dead-letters migrate doctor settings api-key models script seed import"
    known += " audit tenant user group key"
    assert commands == sorted(known.split())


def test_another_key_opens_the_same_tenant(house: House) -> None:
    key = house.manage("api-key", "tests").stdout.strip()
    answer = requests.get(f"{house.base_url}/api/v1/runs", headers={"X-API-Key": key}, timeout=5)
    assert answer.status_code == 200
    assert key != house.api_key
