"""The Procfile becomes commands without a shell; the environment they get is complete."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from operate import environment, procfile
from operate.instance import Instance
from settings import ENV_NAMES, load


def test_the_list_of_processes() -> None:
    assert list(procfile.lines()) == ["web", "worker", "isolated", "beat", "flower"]


def test_a_value_with_spaces_stays_one_word() -> None:
    words = procfile.argv("celery -A tasks beat -s $BATON_DATA_DIR/beat-schedule", {"BATON_DATA_DIR": "/a b"})
    assert words == [sys.executable, "-m", "celery", "-A", "tasks", "beat", "-s", "/a b/beat-schedule"]


def test_workers_are_numbered_and_others_are_one() -> None:
    assert procfile.instances("worker", 2) == ["worker-1", "worker-2"]
    assert procfile.instances("beat", 2) == ["beat"]


def test_every_variable_of_the_procfile_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given an environment with servers of one's own and nothing else
    for name in ENV_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://owner:pw@db.example:5433/shop")
    monkeypatch.setenv("BATON_SECRET", "s")
    instance = Instance(tmp_path)
    # When `up` completes it
    known, _ = load(with_data_dir=False)
    values = environment.complete(known, {"REDIS_URL": "redis://r", "PORT": "1", "FLOWER_PORT": "2"}, instance)
    # Then it has what every line names, and roles of the database with passwords that any host works out
    named = {word for line in procfile.lines().values() for word in re.findall(r"\$(\w+)", line)}
    assert named <= {*values, "WORKER_NAME"}
    assert re.fullmatch(r"postgresql://shop_app:[0-9a-f]{32}@db\.example:5433/shop", values["BATON_DATABASE_APP_URL"])
    assert values["BATON_DATABASE_APP_URL"] == environment.role_url(values["DATABASE_URL"], "app", "s")
    # And all that is a setting is one that we know
    assert {name for name in values if name.startswith("BATON_")} <= set(ENV_NAMES)
