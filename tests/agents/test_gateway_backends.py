"""Which backends there are: a running Ollama is found, a models file is read, the embedded model comes last."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import backends, ollama
from gateway.models_file import InvalidModelsFile, backends_of
from settings import Settings
from tests.agents.servers import ModelServer

FILE = """
routing_strategy: "cost_optimized"
backends:
  - name: "writer"
    type: "vllm"
    endpoint: "http://127.0.0.1:8000"
    model: "Qwen/Qwen3-8B"
    capabilities: ["chat"]
    cost_per_1k: 0.0
  - name: "plain"
    type: "openai"
    endpoint: "https://models.example/v1"
    languages: ["en"]
"""


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    ollama.forget()


def test_a_running_ollama_is_found_with_its_chat_models() -> None:
    with ModelServer("ollama", models=("qwen3:8b", "nomic-embed-text", "llama3.2")) as server:
        found = ollama.found_at(server.url)
    assert [(backend.model, backend.languages) for backend in found] == [
        ("qwen3:8b", ("zh", "en")),
        ("llama3.2", ("en",)),
    ]


def test_ollama_is_asked_once() -> None:
    with ModelServer("ollama") as server:
        for _ in range(3):
            ollama.found_at(server.url)
        assert server.paths == ["/api/tags"]


def test_where_no_ollama_runs_little_time_is_lost() -> None:
    with ModelServer("ollama") as server:
        url = server.url
    began = time.monotonic()
    assert ollama.found_at(url) == ()
    assert time.monotonic() - began < 0.5


def test_somebody_else_on_ollamas_port_is_no_ollama() -> None:
    with ModelServer("openai") as server:
        assert ollama.found_at(server.url) == ()


def test_the_models_file_is_read_and_languages_follow_from_names(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(FILE)
    writer, plain = backends_of(path)
    assert (writer.kind, writer.model, writer.languages) == ("vllm", "Qwen/Qwen3-8B", ("zh", "en"))
    assert (plain.model, plain.languages, plain.is_able("en", "chat")) == ("plain", ("en",), True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("backends: [{name: a, type: carrier-pigeon}]", "backends.0.type"),
        ("backends: [{name: a, type: vllm, modell: b}]", "backends.0.modell"),
        ("backends: [", "line"),
        ("nothing: 1", "backends"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text)
    with pytest.raises(InvalidModelsFile, match=told):
        backends_of(path)


def test_the_embedded_model_comes_after_ollama(monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer("ollama", models=("llama3.2",)) as server:
        known = Settings(ollama_url=server.url, embedded_model_url="http://127.0.0.1:9/v1")
        monkeypatch.setattr(backends, "settings", lambda: known)
        assert [backend.kind for backend in backends.backends()] == ["ollama", "embedded"]


def test_the_door_is_cheap_until_a_model_is_called() -> None:
    # Workers import the registry at start: LangChain must not come with it.
    code = "import sys, gateway.models, gateway.backends, agents.script.writer; print('langchain_core' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
