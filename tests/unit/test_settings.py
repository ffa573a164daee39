"""Settings: where a value comes from, what stops the boot, what is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

import settings as settings_module
from settings import ENV_NAMES, FILE_NAMES, SettingsError, described, load, secret_named


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test in an empty folder with none of our names in the environment."""
    for name in (*ENV_NAMES, *FILE_NAMES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_environment_beats_a_dotenv_file_which_beats_the_data_dir(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given the three places, each naming what the next one names too
    (tmp_path / ".baton").mkdir()
    (tmp_path / ".baton/env").write_text("PORT='1001'\nREDIS_URL='redis://data-dir'\nDATABASE_URL='postgresql://it'\n")
    (tmp_path / ".env").write_text("PORT=1002\nREDIS_URL=redis://dotenv\n")
    monkeypatch.setenv("PORT", "1003")
    # When they are read
    loaded, origin = load()
    # Then the stronger one wins, and the source is told
    assert (loaded.port, loaded.redis_url) == (1003, "redis://dotenv")
    assert origin["port"] == "environment"
    assert origin["redis_url"] == ".env"
    assert origin["database_url"].endswith(".baton/env")
    # And `up` does not read what an earlier `up` left
    assert load(with_data_dir=False)[0].database_url == ""


@pytest.mark.parametrize(
    ("name", "near"),
    [("BATON_WORKER_THREAD", "BATON_WORKER_THREADS"), ("BATON_DRAIN_SECOND", "BATON_DRAIN_SECONDS")],
)
def test_an_unknown_name_stops_with_a_suggestion(monkeypatch: pytest.MonkeyPatch, name: str, near: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name}.*did you mean {near}"):
        load()


def test_every_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("BATON_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError) as raised:
        load()
    assert {line.partition(":")[0] for line in str(raised.value).splitlines()} == {"PORT", "BATON_LOG_FORMAT"}


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_WORKER_THREADS", "")
    assert load()[0].worker_threads == 8


def test_secrets_are_masked_and_every_setting_has_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SECRET", "hush-1")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hush-2@host/db")
    rows = described()
    assert {row.name for row in rows} == set(ENV_NAMES)
    assert all(row.meaning for row in rows)
    assert "hush" not in " ".join(row.value for row in rows)


def test_paths_follow_the_data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATON_DATA_DIR", "a folder")
    loaded, _ = load()
    assert loaded.data_dir == tmp_path / "a folder"
    assert loaded.blob_url == f"file://{tmp_path}/a folder/blobs"
    assert settings_module.data_dir() == tmp_path / "a folder"


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given secrets in files: of the environment, of a weaker place beside a stronger value, and one that is no setting
    (tmp_path / "secret").write_text("hush-1\n")
    (tmp_path / "url").write_text("redis://:hush-2@host/0\r\n")
    monkeypatch.setenv("BATON_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("MY_MODELS_KEY_FILE", str(tmp_path / "secret"))
    (tmp_path / ".env").write_text("BATON_SECRET=weaker\n")
    # When they are read, then they hold, and their source is told without them
    loaded, origin = load()
    assert (loaded.secret.get_secret_value(), loaded.redis_url) == ("hush-1", "redis://:hush-2@host/0")
    assert (origin["secret"], origin["redis_url"]) == ("BATON_SECRET_FILE", "REDIS_URL_FILE")
    assert secret_named("MY_MODELS_KEY") == "hush-1"
    assert "hush" not in str(described())


@pytest.mark.parametrize(
    ("held", "told"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\xff\xfe", "is no text"), (b"x" * 70_000, "too large")],
)
def test_a_file_that_holds_no_secret_stops_the_boot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, held: bytes | None, told: str
) -> None:
    path = tmp_path / "hush"
    if held is not None:
        path.write_bytes(held)
    monkeypatch.setenv("BATON_SECRET_FILE", str(path))
    with pytest.raises(SettingsError, match=f"BATON_SECRET_FILE: the file .*{told}") as raised:
        load()
    assert "hush" not in str(raised.value)


def test_a_secret_given_twice_stops_the_boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hush-1")
    monkeypatch.setenv("BATON_API_KEY", "hush-2")
    monkeypatch.setenv("BATON_API_KEY_FILE", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match="BATON_API_KEY and BATON_API_KEY_FILE") as raised:
        load()
    assert "hush" not in str(raised.value)


def test_only_a_secret_has_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_LOG_LEVEL_FILE", "/tmp/x")
    with pytest.raises(SettingsError, match=r"unknown setting BATON_LOG_LEVEL_FILE.*did you mean BATON_LOG_LEVEL"):
        load()


@pytest.mark.parametrize(
    "wrong", ["*", "https://a.example/", "https://*.example", "a.example", "null", "https://A.example"]
)
def test_origins_are_exact(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("BATON_CORS_ORIGINS", f"https://a.example:8443, http://[::1]:3000,{wrong}")
    with pytest.raises(SettingsError, match=r"BATON_CORS_ORIGINS: .*exact origins"):
        load()
    monkeypatch.setenv("BATON_CORS_ORIGINS", "https://a.example:8443, http://[::1]:3000")
    assert load()[0].cors_origins
