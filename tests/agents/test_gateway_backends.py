"""Which backends there are: what is found without a models file, and the file's, read anew when it changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.backends import configuration as backends
from gateway.backends import ollama
from gateway.backends.models_file import InvalidModelsFile
from settings import Settings
from tests.agents.fault_proxy import FaultProxy

ONE = "backends: [{name: one, type: openai}]"
TWO = "backends: [{name: two, type: openai}]"
WRONG = "backends: [{name: wrong, type: openai, modell: x}]"


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    ollama.forget()
    backends.forget()
    yield
    ollama.forget()
    backends.forget()


def set_up(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Let the gateway see these settings, and look at its file at every call."""
    known = Settings(**{"ollama_url": "http://127.0.0.1:1", **values})
    monkeypatch.setattr(backends, "settings", lambda: known)
    monkeypatch.setattr(backends, "LOOK_EVERY_SECONDS", 0.0)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models file in use, with the backend `one`."""
    path = tmp_path / "models.yaml"
    path.write_text(ONE)
    set_up(monkeypatch, models=path)
    return path


def first() -> str:
    """The name of the preferred backend."""
    return backends.configuration().backends[0].name


# ----------------------------------------------------------------------------------------------------- without a file


def test_a_running_ollama_is_found_with_its_chat_models() -> None:
    with FaultProxy(models=("qwen3:8b", "nomic-embed-text", "llama3.2")) as server:
        found = ollama.found_at(server.url)
    assert [(backend.model, backend.languages) for backend in found] == [
        ("qwen3:8b", ("zh", "en")),
        ("llama3.2", ("en",)),
    ]


def test_ollama_is_asked_once() -> None:
    with FaultProxy() as server:
        for _ in range(3):
            ollama.found_at(server.url)
        assert server.paths == ["/api/tags"]


def test_where_no_ollama_runs_little_time_is_lost() -> None:
    with FaultProxy() as server:
        url = server.url
    began = time.monotonic()
    assert ollama.found_at(url) == ()
    assert time.monotonic() - began < 0.5


@contextmanager
def stranger(status: int, body: bytes, *, endless: bool = False) -> Iterator[str]:
    """The URL of a server that gives everybody this answer; endless: again and again, without an end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            try:
                self.wfile.write(body)
                while endless:
                    self.wfile.write(body)
            except OSError:
                pass

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"{}"), (200, b"<html>"), (200, b"[1]"), (200, b'{"models": 3}'), (500, b"\xff")]
)
def test_somebody_else_on_ollamas_port_is_no_ollama(status: int, body: bytes) -> None:
    with stranger(status, body) as url:
        assert ollama.found_at(url) == ()


def test_an_answer_without_an_end_is_no_ollama() -> None:
    with stranger(200, b" " * 65536, endless=True) as url:
        began = time.monotonic()
        assert ollama.found_at(url) == ()
        assert time.monotonic() - began < 3


def test_ollama_comes_first_then_who_has_a_key_then_the_embedded_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultProxy(models=("llama3.2",)) as server:
        set_up(
            monkeypatch,
            ollama_url=server.url,
            openai_api_key="sk-1",
            anthropic_api_key="sk-2",
            embedded_model_url="http://127.0.0.1:9/v1",
        )
        found = backends.backends()
    assert [backend.name for backend in found] == [
        "ollama/llama3.2",
        "openai/gpt-4o-mini",
        "anthropic/claude-3-5-haiku-latest",
        "embedded/smollm2-135m-instruct",
        "embedded/use",
    ]
    assert [backend.api_key for backend in found[1:3]] == ["sk-1", "sk-2"]
    assert all(backend.price_in > 0 for backend in found[1:3])
    assert found[3].weak


def test_without_keys_and_servers_there_is_the_sentence_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch)
    assert [backend.name for backend in backends.backends()] == ["embedded/use"]
    assert backends.configuration() is backends.configuration()


def test_a_model_of_ones_own_choice_without_a_list_price_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(monkeypatch, openai_api_key="sk-1", openai_model="brand-new")
    assert backends.configuration().without_price == {"openai/brand-new"}


# --------------------------------------------------------------------------------------------------------- hot reload


def test_a_changed_file_is_read_anew(file: Path) -> None:
    assert first() == "one"
    file.write_text(TWO)
    assert first() == "two"


def test_a_file_that_replaced_it_is_read_although_size_and_time_are_the_same(file: Path, tmp_path: Path) -> None:
    # Given a file that was read
    assert first() == "one"
    # When another one of the same size and time is put in its place
    other = tmp_path / "other.yaml"
    other.write_text(TWO)
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.rename(file)
    # Then it is seen
    assert first() == "two"


def test_a_bad_new_file_changes_nothing_and_is_told_once(file: Path) -> None:
    # Given a good file in use
    assert (first(), backends.rejected()) == ("one", None)
    # When a bad one takes its place
    file.write_text(WRONG)
    with capture_logs() as logs:
        names = [first() for _ in range(5)]
    # Then the last good one holds on, the log says so once, and why can be asked
    assert names == ["one"] * 5
    assert [line["event"] for line in logs] == ["models_file_rejected"]
    assert "backends[0].modell: there is no such field" in logs[0]["mistakes"][0]
    assert "did you mean model?" in (backends.rejected() or "")
    # And a repaired one is taken
    file.write_text(TWO)
    assert (first(), backends.rejected()) == ("two", None)


def test_a_file_that_goes_away_changes_nothing_until_it_is_back(file: Path) -> None:
    assert first() == "one"
    file.unlink()
    assert first() == "one"
    assert "No such file" in (backends.rejected() or "")
    file.write_text(TWO)
    assert (first(), backends.rejected()) == ("two", None)


def test_a_first_file_that_is_bad_is_an_error_until_it_is_repaired(file: Path) -> None:
    file.write_text(WRONG)
    for _ in range(2):
        with pytest.raises(InvalidModelsFile, match="did you mean model"):
            backends.configuration()
    file.write_text(ONE)
    assert first() == "one"


def test_a_new_key_in_its_file_is_taken_without_touching_the_models_file(file: Path, tmp_path: Path) -> None:
    # Given an entry whose key is not there yet
    file.write_text("backends: [{name: one, type: openai, api_key_file: key}]")
    with pytest.raises(InvalidModelsFile):
        backends.configuration()
    # When it comes, and when it is changed, then it is used
    for key in ("first-key", "second-key-which-is-longer"):
        (tmp_path / "key").write_text(key)
        assert backends.configuration().backends[0].api_key == key


def test_the_file_is_looked_at_once_a_second_only(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "LOOK_EVERY_SECONDS", 3600.0)
    assert first() == "one"
    file.write_text(TWO)
    assert first() == "one"


def test_nobody_waits_while_one_thread_reads_the_new_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a changed file, and a thread that is in the middle of reading it
    assert first() == "one"
    reading, go_on = threading.Event(), threading.Event()
    load = backends.load

    def slowly(path: Path, known: Settings) -> Any:
        reading.set()
        assert go_on.wait(10)
        return load(path, known)

    monkeypatch.setattr(backends, "load", slowly)
    file.write_text(TWO)
    reader = threading.Thread(target=first)
    reader.start()
    assert reading.wait(10)
    # When others ask meanwhile, then they get what was there at once
    assert first() == "one"
    # And the new one when it is read
    go_on.set()
    reader.join(10)
    assert first() == "two"


def test_the_door_is_cheap_until_a_model_is_called() -> None:
    # Workers import the registry at start: LangChain must not come with it, nor Ollama's library.
    code = "import sys, gateway.models, gateway.backends.configuration, agents.script.writer; print(*sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not {"langchain_core", "ollama"} & {*done.stdout.split()}
