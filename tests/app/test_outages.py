"""The web process while a server is frozen: it answers in time, and goes on by itself afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from storage import migrate
from storage.embedded import postgres as embedded_postgres
from storage.embedded import redis as embedded_redis
from tests.app.server import web_process

PROVISION = "from storage import tenants; print(tenants.create_api_key(tenants.ensure_default_tenant(), 'tests'))"


class House:
    """Servers and a web process of this module's own, whose servers may be frozen."""

    def __init__(
        self, address: str, key: str, data_dir: Path, postgres_pid: int, postgres_port: int, redis_pid: int
    ) -> None:
        self.address = address
        self.headers = {"X-API-Key": key}
        self.data_dir = data_dir
        self.postgres_pid = postgres_pid
        self.postgres_port = postgres_port
        self.redis_pid = redis_pid

    def get(self, path: str) -> tuple[requests.Response, float]:
        """The answer, and after how many seconds it came."""
        began = time.monotonic()
        return requests.get(f"{self.address}{path}", timeout=30, headers=self.headers), time.monotonic() - began

    def start(self, steps: int = 1) -> tuple[requests.Response, float]:
        """Start a run."""
        began = time.monotonic()
        body = {"chain": "probe", "input": {"steps": steps}}
        answer = requests.post(f"{self.address}/api/v1/runs", json=body, timeout=30, headers=self.headers)
        return answer, time.monotonic() - began


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """They are thrown away after the module."""
    data_dir = tmp_path_factory.mktemp("frozen")
    with ExitStack() as stack:
        stack.callback(embedded_postgres.stop, data_dir)
        database = embedded_postgres.start(data_dir)
        stack.callback(embedded_redis.stop, data_dir)
        broker = embedded_redis.start(data_dir)
        migrate.migrate(database.owner_url, database.app_url, database.keeper_url)
        environment = {
            "DATABASE_URL": database.owner_url,
            "BATON_DATABASE_APP_URL": database.app_url,
            "BATON_DATABASE_KEEPER_URL": database.keeper_url,
            "REDIS_URL": broker.url,
            "BATON_DATA_DIR": str(data_dir),
            "BATON_SECRET": "another secret of the tests",
        }
        made = subprocess.run(
            [sys.executable, "-c", PROVISION],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        with web_process(Path(data_dir) / "web.log", **environment) as address:
            yield House(address, made.stdout.strip(), data_dir, database.pid, database.port, broker.pid)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process and its children, stopped in the middle of whatever they do."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    pids = [pid, *map(int, children)]
    for one in pids:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in pids:
            os.kill(one, signal.SIGCONT)


def test_a_restart_of_postgres_costs_one_request_at_most(
    house: House, until: Callable[[Callable[[], bool]], None]
) -> None:
    with ThreadPoolExecutor(12) as many:
        assert {answer.status_code for answer, _ in many.map(lambda _: house.start(), range(40))} == {202}
    embedded_postgres.stop(house.data_dir)
    house.postgres_pid = embedded_postgres.start(house.data_dir, port=house.postgres_port).pid
    until(lambda: house.get("/api/v1/health/ready")[0].status_code == 200)
    first, *others = [house.start()[0].status_code for _ in range(20)]
    assert first in (202, 503) and others == [202] * 19


def test_a_frozen_redis_delays_no_answer(house: House, until: Callable[[Callable[[], bool]], None]) -> None:
    house.start()
    with frozen(house.redis_pid):
        for _ in range(3):
            answer, seconds = house.start()
            assert answer.status_code == 202 and seconds < 1.5
        time.sleep(0.6)  # what health knows is at most half a second old
        told, seconds = house.get("/api/v1/health")
        assert seconds < 2 and told.json()["status"] == "degraded"
        assert told.json()["checks"]["redis"]["status"] == "degraded"
        assert told.json()["checks"]["rate_limits"]["status"] == "degraded"
        ready, seconds = house.get("/api/v1/health/ready")
        assert ready.status_code == 200 and seconds < 2
    until(lambda: house.get("/api/v1/health")[0].json()["checks"]["redis"]["status"] == "ok")


def test_a_viewer_does_not_depend_on_redis(house: House) -> None:
    run_id = house.start(steps=1)[0].json()["run_id"]
    address = f"{house.address.replace('http', 'ws')}/api/v1/runs/{run_id}/ws"
    with frozen(house.redis_pid):
        viewer = websocket.create_connection(address, header=[f"X-API-Key: {house.headers['X-API-Key']}"], timeout=20)
        cancelled = requests.post(f"{house.address}/api/v1/runs/{run_id}/cancel", headers=house.headers, timeout=30)
        assert cancelled.status_code == 202
        types: list[Any] = []
        while not types or types[-1] != "run_cancelled":
            types.append(json.loads(viewer.recv())["type"])


def test_a_frozen_postgres_is_told_in_time(house: House, until: Callable[[Callable[[], bool]], None]) -> None:
    run_id = house.start()[0].json()["run_id"]
    address = f"{house.address.replace('http', 'ws')}/api/v1/runs/{run_id}/ws"
    viewer = websocket.create_connection(address, header=[f"X-API-Key: {house.headers['X-API-Key']}"], timeout=30)
    with frozen(house.postgres_pid):
        time.sleep(0.6)
        for path, status in (("live", 200), ("ready", 503), ("", 200)):
            answer, seconds = house.get(f"/api/v1/health/{path}".rstrip("/"))
            assert answer.status_code == status and seconds < 2, path
        assert house.get("/api/v1/health")[0].json()["status"] == "down"
        answer, seconds = house.start()
        assert answer.status_code == 503 and answer.json()["code"] == "unavailable" and seconds < 15
        assert answer.headers["Retry-After"]
    # It goes on by itself, and so do the streams that were open
    until(lambda: house.get("/api/v1/health/ready")[0].status_code == 200)
    until(lambda: house.start()[0].status_code == 202)
    requests.post(f"{house.address}/api/v1/runs/{run_id}/cancel", headers=house.headers, timeout=30)
    types: list[Any] = []
    while not types or types[-1] != "run_cancelled":
        types.append(json.loads(viewer.recv())["type"])
