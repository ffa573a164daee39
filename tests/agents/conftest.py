"""The embedded model as a real process, once a session."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.backend import EMBEDDED_MODEL, Backend
from gateway.backends import embedded

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def embedded_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """The embedded model, answering."""
    plan = embedded.prepare(tmp_path_factory.mktemp("model data"))
    child = subprocess.Popen(plan.argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=plan.folder)
    assert any(embedded.comes_up(plan.url, lambda: child.poll() is not None) for _ in range(10))
    yield Backend("embedded", "embedded", plan.url, EMBEDDED_MODEL, languages=("en",), api_key=plan.key, weak=True)
    child.terminate()
    child.wait(10)
