"""The installation's signing keys: one first pair, and a way on where BATON_SECRET was changed."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from psycopg2.extensions import connection as Connection

from identity import secrets, signing


def test_the_first_key_is_made_once_however_many_need_it(settings_env: Any, owner_db: Connection) -> None:
    with owner_db.cursor() as cursor:
        cursor.execute("DELETE FROM signing_keys")
    signing.forget()

    def need(_: int) -> str:
        return signing.signer(datetime.now(UTC))[0]

    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(need, range(4)))
    assert len(made) == 1
    with owner_db.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM signing_keys")
        assert cursor.fetchone() == (1,)


def test_a_changed_secret_makes_a_new_key_once(settings_env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given keys that another BATON_SECRET encrypted
    now = datetime.now(UTC)
    old = signing.signer(now)[0]
    other = settings_env.model_copy(update={"secret": type(settings_env.secret)("another secret of the tests")})
    monkeypatch.setattr(secrets, "settings", lambda: other)
    signing.forget()
    # Then there is one that this one opens, and the old one still verifies what it signed
    made = signing.signer(now)[0]
    assert made != old and signing.signer(now + timedelta(seconds=1))[0] == made
    assert signing.verifier(old) is not None
    signing.forget()


def test_a_database_that_is_away_is_waited_for_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a look at the keys that fails after all have begun to wait for it
    waiting, all_wait, looks = [], threading.Event(), []

    def monotonic() -> float:
        waiting.append(None)
        if len(waiting) == 8:
            all_wait.set()
        return time.monotonic()

    def fail(_: float) -> signing.Ring:
        looks.append(None)
        assert all_wait.wait(10)
        raise ConnectionError("away")

    monkeypatch.setattr(signing, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(signing, "_load", fail)
    signing.forget()

    def ask(_: int) -> bool:
        try:
            signing.verifier("A" * 16)
        except ConnectionError:
            return False
        return True

    # Then all of them hear of it, and nobody has waited for a second one
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(ask, range(8)))
    assert len(looks) == 1
