"""What is kept of a secret opens nothing, and comes back only as what it was kept as."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import settings as settings_module
from errors import InvalidInput
from identity import passwords, secrets
from settings import SettingsError


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An installation with a BATON_SECRET."""
    monkeypatch.setenv("BATON_SECRET", "a secret of the tests, long enough")
    settings_module.settings.cache_clear()
    yield monkeypatch
    settings_module.settings.cache_clear()


def test_a_hash_is_of_its_kind_and_of_the_secret(secret: pytest.MonkeyPatch) -> None:
    first = secrets.hashed("ticket", "x")
    assert first == secrets.hashed("ticket", "x") and len(first) == 32
    assert first != secrets.hashed("refresh", "x")
    secret.setenv("BATON_SECRET", "another secret of the tests")
    settings_module.settings.cache_clear()
    assert first != secrets.hashed("ticket", "x")


def test_what_was_encrypted_comes_back_as_its_kind_only(secret: pytest.MonkeyPatch) -> None:
    kept = secrets.encrypted("signing key", b"private")
    assert secrets.decrypted("signing key", kept) == b"private"
    assert b"private" not in kept and kept != secrets.encrypted("signing key", b"private")
    for wrong in (kept[:-1] + bytes([kept[-1] ^ 1]), kept[:20], b""):
        with pytest.raises(secrets.WrongSecret):
            secrets.decrypted("signing key", wrong)
    with pytest.raises(secrets.WrongSecret):
        secrets.decrypted("client secret", kept)
    secret.setenv("BATON_SECRET", "another secret of the tests")
    settings_module.settings.cache_clear()
    with pytest.raises(secrets.WrongSecret):
        secrets.decrypted("signing key", kept)


def test_without_a_secret_nothing_is_kept(secret: pytest.MonkeyPatch) -> None:
    bare = settings_module.settings().model_copy(update={"secret": type(settings_module.settings().secret)("")})
    secret.setattr(secrets, "settings", lambda: bare)
    for make in (lambda: secrets.hashed("ticket", "x"), lambda: secrets.encrypted("signing key", b"x")):
        with pytest.raises(SettingsError):
            make()


def test_a_password_is_taken_however_its_letters_are_written() -> None:
    kept = passwords.hashed("caf\u00e9 au lait 12")
    assert passwords.matches("cafe\u0301 au lait 12", kept)
    assert not passwords.matches("cafe au lait 12", kept)
    assert not passwords.matches("the password of nobody", None)
    assert not passwords.is_outdated(kept)


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "a" * 257,
        "ada@example.com",
        "ADA.LOVELACE1@example.com",
        "qwertyuiop123",
        "Password1234",
        "121212121212",
    ],
)
def test_a_password_that_is_tried_first_is_refused(password: str) -> None:
    email = password if "@" in password else "ada@example.com"
    with pytest.raises(InvalidInput) as refused:
        passwords.check_new(password, email, "new")
    assert refused.value.errors[0]["field"] == "new"


def test_a_long_sentence_is_a_password() -> None:
    passwords.check_new("correct horse battery staple", "ada@example.com")
    passwords.check_new("一只黑猫坐在窗台上看下雨的街道", "ada@example.com")
