"""What was looked up is remembered for seconds, and looked up once however many ask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import remembered
from storage.remembered import Remembered


def test_a_finding_is_remembered_until_it_is_old_or_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, looks = [100.0], []
    monkeypatch.setattr(remembered, "monotonic", lambda: clock[0])
    known = Remembered[str, str](lambda key: looks.append(key) or f"{key} {len(looks)}", seconds=5)  # type: ignore[func-returns-value]
    assert [known.of("a"), known.of("a"), known.of("b")] == ["a 1", "a 1", "b 2"]
    clock[0] += 5
    assert known.of("a") == "a 3"
    known.forget()
    assert known.of("a") == "a 4"


def test_what_is_not_there_is_looked_up_each_time() -> None:
    looks: list[str] = []
    known = Remembered[str, str](lambda key: looks.append(key))  # type: ignore[func-returns-value]
    assert known.of("a") is None and known.of("a") is None
    assert looks == ["a", "a"]


@pytest.mark.parametrize("fails", [False, True])
def test_who_comes_meanwhile_shares_the_finding_or_the_error(fails: bool) -> None:
    # Given a look that takes until nine others wait for it
    looks, waiting = [], threading.Semaphore(0)

    class Counting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.release()
            return super().wait(timeout)

    def look(key: str) -> str:
        looks.append(key)
        known._under_way[key].done = event
        event_set.set()
        for _ in range(9):
            assert waiting.acquire(timeout=10)
        if fails:
            raise LookupError(key)
        return key

    event, event_set = Counting(), threading.Event()
    known = Remembered[str, str](look)

    def ask(_: int) -> str | None:
        try:
            return known.of("a")
        except LookupError:
            return "error"

    with ThreadPoolExecutor(10) as pool:
        first = pool.submit(ask, 0)
        assert event_set.wait(10)
        others = [pool.submit(ask, number) for number in range(9)]
        found = {first.result(20), *(one.result(20) for one in others)}
    # Then there was one look, and all got what came of it
    assert looks == ["a"] and found == {"error" if fails else "a"}
