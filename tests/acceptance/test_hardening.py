"""Secrets stay where they are kept, and every process works with no more of Redis than its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from dotenv import dotenv_values

from settings import ENV_NAMES, Settings
from tests.acceptance.house import House, wait_for

USER_OF = {
    "web": "web",
    "worker-1": "worker",
    "worker-2": "worker",
    "isolated": "worker",
    "beat": "worker",
    "flower": "flower",
}
SHORTEST = 8


def secrets_of(house: House) -> dict[str, str]:
    """Every secret of the instance, by where it is kept."""
    found = {"api_key": house.api_key}
    for name in ("kept.json", "redis/server.json", "postgres/server.json"):
        found |= {f"{name}:{where}": one for where, one in _texts(json.loads((house.data_dir / name).read_text()))}
    for name, value in dotenv_values(house.data_dir / "env", interpolate=False).items():
        extra = Settings.model_fields[ENV_NAMES[name]].json_schema_extra if name in ENV_NAMES else None
        if value and isinstance(extra, dict) and extra["secret"]:
            found[f"env:{name}"] = unquote(urlsplit(value).password or "") if "://" in value else value
    return {where: one for where, one in found.items() if len(one) >= SHORTEST and where != "kept.json:provisioned"}


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{where}.{name}" if where else name)


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with."""
    lines = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def flower(house: House, path: str) -> requests.Response | None:
    """What Flower answers; None while it does not."""
    port = next(row["port"] for row in house.rows() if row["name"] == "flower")
    try:
        answer = requests.get(f"http://127.0.0.1:{port}{path}", auth=("operator", house.api_key), timeout=20)
    except requests.ConnectionError:
        return None
    return answer if answer.status_code == 200 else None


def test_every_process_is_a_user_of_its_own_in_redis(house: House) -> None:
    # Given what runs, then each has the login of its role, and what is typed by hand has the operator's
    pids = house.ps()
    assert {name: urlsplit(variables(pids[name])["REDIS_URL"]).username for name in USER_OF} == USER_OF
    assert house.manage("redis-cli", "ACL", "WHOAMI").stdout.strip() == "operator"


def test_no_process_is_refused_what_it_needs(house: House) -> None:
    # Given a log of refusals that is empty
    house.manage("redis-cli", "ACL", "LOG", "RESET")
    # When every kind of process does its work: a run with viewers, a cancelled one, scrapes, looks, a Redis that forgot
    assert house.run("probe", {"steps": 3, "fan_out": 2})["status"] == "completed"
    house.manage("redis-cli", "FLUSHALL")
    slow = requests.post(
        f"{house.base_url}/api/v1/runs",
        json={"chain": "probe", "input": {"steps": 2, "sleep_ms": 700}},
        headers=house.headers,
        timeout=10,
    ).json()["run_id"]
    streamed = {**house.headers, "Accept": "text/event-stream"}
    assert "run_completed" in requests.get(
        f"{house.base_url}/api/v1/runs/{slow}/events", headers=streamed, timeout=30
    ).text  # fmt: skip
    assert requests.get(f"{house.base_url}/metrics", timeout=10).ok
    workers = wait_for(lambda: (seen := flower(house, "/api/workers?refresh=1")) and seen.json(), "Flower sees workers")
    assert {"worker-1", "worker-2", "isolated"} <= {name.partition("@")[0] for name in workers}
    # Then Redis has refused nobody
    assert house.manage("redis-cli", "ACL", "LOG").stdout.strip() == ""


def test_a_worker_shows_ids_and_no_signature(house: House) -> None:
    run = house.run("probe", {"steps": 2})
    seen = wait_for(
        lambda: (told := flower(house, "/api/tasks?limit=50")) and run["run_id"] in told.text and told.text,
        "Flower sees the run",
    )
    assert "sig" not in {name for task in json.loads(seen).values() for name in _names(task["kwargs"])}


def _names(shown: str | None) -> list[str]:
    return [part.partition("'")[0] for part in (shown or "").split("'")[1::2]]


def test_no_secret_is_shown_or_logged(house: House) -> None:
    # Given an instance that has worked, and its secrets
    house.run("probe", {"steps": 2})
    secrets = secrets_of(house)
    assert {"api_key", "kept.json:secret", "env:BATON_SECRET", "redis/server.json:passwords.web"} <= set(secrets)
    # When everything is collected that people and programs get to see
    shown = {
        "settings": house.manage("settings").stdout,
        "settings --json": house.manage("settings", "--json").stdout,
        "an error": house.manage("run", "nonsense", "{}").stderr,
        "Flower": "".join(
            told.text for path in ("/api/workers?refresh=1", "/api/tasks") if (told := flower(house, path))
        ),
    }
    for path in ("/openapi.json", "/docs", "/metrics", "/api/v1/health", "/api/v1/health/ready", "/api/v1/runs"):
        shown[path] = requests.get(f"{house.base_url}{path}", headers=house.headers, timeout=10).text
    for log in (house.data_dir / "logs").iterdir():
        shown[log.name] = log.read_text(errors="replace")
    for name, pid in house.ps().items():
        shown[f"ps: {name}"] = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    assert len(shown["Flower"]) > 100 and len(shown["settings"]) > 1000
    # Then no secret stands there
    assert not [(where, whose) for where, text in shown.items() for whose, secret in secrets.items() if secret in text]
