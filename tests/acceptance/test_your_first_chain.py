"""docs/your-first-chain.md for real: the page's package, a real worker process, real servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import select

import settings as settings_module
from agents import registry
from chains import catalog
from chains.answer import answer
from chains.submit import SubmitRequest, deliver_accepted, submit
from storage.postgres import session
from storage.tables import Run
from tests.conftest import Servers

ROOT = Path(__file__).parents[2]
STARTED_WITHIN_SECONDS = 30.0
MOVED_WITHIN_SECONDS = 20.0

Until = Callable[[UUID, str], Any]


@pytest.fixture
def shop(tmp_path: Path, settings_env: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's package in a folder on the path, named by BATON_CHAINS."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "your-first-chain.md").read_text(), re.DOTALL)
    assert found
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(found.group(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("BATON_CHAINS", "shop")
    _forget()
    yield tmp_path
    monkeypatch.delenv("BATON_CHAINS")
    sys.modules.pop("shop", None)
    _forget()


def _forget() -> None:
    settings_module.reload()
    catalog.clear()
    registry.nodes.cache_clear()


@pytest.fixture
def worker(servers: Servers, shop: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker as the Procfile starts it, ready for work."""
    environment = {**os.environ, **servers.environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{shop}"}
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "threads", "--concurrency", "2"]
    command += ["-Q", "agents", "-n", "first@%h", "--without-gossip", "--without-mingle"]
    log = (shop / "worker.log").open("w+")
    started = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
    yield started
    started.terminate()
    assert started.wait(timeout=30) == 0, (shop / "worker.log").read_text()[-4000:]


@pytest.fixture
def until(tenant: UUID, redis_client: redis.Redis, shop: Path) -> Iterator[Until]:
    """Wait until a run has a status; woken by the live events, as a viewer is."""
    listener = redis_client.pubsub()
    listener.psubscribe(f"baton:{tenant}:*")

    def wait(run_id: UUID, status: str) -> Any:
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS + MOVED_WITHIN_SECONDS
        while time.monotonic() < deadline:
            with session(tenant) as db:
                run = db.scalars(select(Run).where(Run.id == run_id)).one()
                if run.status == status:
                    db.expunge_all()
                    return run
            listener.get_message(timeout=1.0)
        raise AssertionError(f"{run.status}, not {status}: {run.error}\n{(shop / 'worker.log').read_text()[-4000:]}")

    yield wait
    listener.close()


def order(tenant: UUID, price: int) -> UUID:
    accepted = submit(tenant, SubmitRequest("order", {"items": [{"price": price, "count": 2}]}))
    deliver_accepted(accepted)
    return accepted.run_id


def test_the_chain_of_the_page_runs(tenant: UUID, worker: subprocess.Popen[str], until: Until) -> None:
    # a small order ships at once
    small = until(order(tenant, 30), "completed")
    assert re.fullmatch(r"Parcel .{8} for 60\.", small.output["text"])

    # a large one waits for an answer, and ships
    large = order(tenant, 60)
    assert until(large, "paused").pause["question"] == "Ship so large an order?"
    answer(tenant, large, {"approved": True})
    assert re.fullmatch(r"Parcel .{8} for 120\.", until(large, "completed").output["text"])

    # one that was not approved fails with the node's own code
    refused = order(tenant, 60)
    until(refused, "paused")
    answer(tenant, refused, {"approved": False})
    assert until(refused, "failed").error["code"] == "not_approved"
