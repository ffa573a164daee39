"""One whole instance for all acceptance tests; a test that breaks it waits until it is whole again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.house import EVERYTHING, House, wait_for


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An instance on embedded servers with two workers, ready and complete."""
    data_dir: Path = tmp_path_factory.mktemp("house") / "data dir"
    one = House(data_dir, "--quiet").start()
    try:
        one.wait_until_ready()
        wait_for(lambda: set(one.ps()) == EVERYTHING, "every process")
        yield one
    finally:
        one.stop()


@pytest.fixture(autouse=True)
def whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test that used the house: every process is there and it is ready."""
    yield
    if "house" in request.fixturenames:
        one: House = request.getfixturevalue("house")
        wait_for(lambda: set(one.ps()) == EVERYTHING and one.answers_ready(), "the house whole again")
