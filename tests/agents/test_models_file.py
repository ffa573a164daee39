"""The models file: what it says becomes backends, and every mistake is told with its line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from gateway.backend import EMBEDDING, Backend
from gateway.backends.discovery import SENTENCES
from gateway.backends.models_file import Configuration, InvalidModelsFile, load
from gateway.backends.prices import LIST, listed
from settings import Settings

DOCUMENTS_EXAMPLE = """
# 模型服务网关配置
routing_strategy: "cost_optimized" # cost_optimized | latency_optimized

backends:
  - name: "security-finetuned-72b"
    type: "vllm"
    endpoint: "http://msig-inference-vllm:8000"
    capabilities: ["security_analysis", "code_audit"]
    cost_per_1k: 0.0

  - name: "general-gpt4"
    type: "openai"
    endpoint: "https://api.openai.com/v1"
    capabilities: ["general_chat", "summarization"]
    cost_per_1k: 0.03

# 语义缓存配置
semantic_cache:
  enabled: true
  backend: "redis-vector"
  similarity_threshold: 0.92
"""
KEY = "sk-a-key-that-nobody-may-see"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, so that no `.env` of the machine gives keys."""
    monkeypatch.chdir(tmp_path)


def read(folder: Path, text: str | bytes, **known: str) -> Configuration:
    """The configuration that a file of this text is."""
    path = folder / "models.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path, Settings(**known)).configuration


def first(folder: Path, entry: str, **known: str) -> Backend:
    """The backend that an entry becomes."""
    return read(folder, f"backends: [{{name: a, {entry}}}]", **known).backends[0]


def mistakes(folder: Path, text: str | bytes) -> list[str]:
    """What is told of a wrong file, without its path."""
    with pytest.raises(InvalidModelsFile) as raised:
        read(folder, text)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{folder / 'models.yaml'}:") for line in lines)
    return [line.removeprefix(f"{folder / 'models.yaml'}:") for line in lines]


def test_the_documents_example_is_a_models_file(tmp_path: Path) -> None:
    found = read(tmp_path, DOCUMENTS_EXAMPLE)
    own, general, sentences = found.backends
    assert (own.name, own.kind, own.endpoint) == ("security-finetuned-72b", "vllm", "http://msig-inference-vllm:8000")
    assert own.is_able("en", "code_audit") and not own.is_able("en", "chat")
    assert general.is_able("en", "chat") and (general.price_in, general.price_out) == (Decimal("0.03"), Decimal("0.03"))
    assert sentences is SENTENCES
    assert found.routing_strategy == "cost_optimized"
    assert (found.semantic_cache.enabled, found.semantic_cache.similarity_threshold) == (True, 0.92)


def test_every_field_of_an_entry_reaches_the_backend(tmp_path: Path) -> None:
    entry = """type: vllm, endpoint: "http://gpu:8000", model: m, languages: [zh], capabilities: [chat], weak: true,
        small: true, cost_per_1k_in: 0.0001, cost_per_1k_out: 0.0002, context_tokens: 32768, connect_seconds: 1,
        first_token_seconds: 2.5, timeout_seconds: 90, retries: 0, api_key: k"""
    assert first(tmp_path, entry) == Backend(
        "a", "vllm", "http://gpu:8000", "m", ("zh",), ("chat",), "k", weak=True, small=True,
        price_in=Decimal("0.0001"), price_out=Decimal("0.0002"), context_tokens=32768, connect_seconds=1.0,
        first_token_seconds=2.5, timeout_seconds=90.0, retries=0,
    )  # fmt: skip


def test_what_an_entry_leaves_out_is_what_is_usual_for_its_type(tmp_path: Path) -> None:
    ollama = first(tmp_path, "type: ollama, model: 'qwen3:8b'", ollama_url="http://there:11434")
    assert (ollama.endpoint, ollama.languages) == ("http://there:11434", ("zh", "en"))
    assert first(tmp_path, "type: openai").endpoint == "https://api.openai.com/v1"
    assert first(tmp_path, "type: openai", openai_base_url="http://proxy/v1").endpoint == "http://proxy/v1"
    assert first(tmp_path, "type: anthropic, model: claude-x").context_tokens == 200_000


@pytest.mark.parametrize(
    ("cost", "price"),
    [
        ("cost_per_1k: 0.5", ("0.5", "0.5")),
        ("cost_per_1k: 0.5, cost_per_1k_out: 2", ("0.5", "2")),
        ("cost_per_1k_in: 0", ("0", "0.0006")),
        ("weak: false", ("0.00015", "0.0006")),
    ],
)
def test_a_price_is_the_files_else_the_lists(tmp_path: Path, cost: str, price: tuple[str, str]) -> None:
    found = first(tmp_path, f"type: openai, model: gpt-4o-mini, {cost}")
    assert (found.price_in, found.price_out) == tuple(map(Decimal, price))


def test_who_has_no_price_is_named(tmp_path: Path) -> None:
    # Given one that neither file nor list knows, one that is free by the file, and one on machines of one's own
    text = """backends:
    - {name: unknown, type: openai, model: brand-new}
    - {name: free, type: openai, model: brand-new, cost_per_1k: 0}
    - {name: own, type: vllm, endpoint: "http://gpu:8000"}"""
    # When they are read, then only of the first one nobody said what it costs
    assert read(tmp_path, text).without_price == {"unknown"}


def test_the_price_list_is_dated_and_names_its_source() -> None:
    head = LIST.read_text().partition("\nopenai:")[0]
    assert "Source:" in head and "look them up anew" in head
    for kind, model in (("openai", Settings().openai_model), ("anthropic", Settings().anthropic_model)):
        found = listed(kind, model)
        assert found and 0 < found.price_in < found.price_out < 1


# ---------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("type: carrier-pigeon", "3: backends[0].type: Input should be 'openai'"),
        ("type: openai\n    modell: b", "4: backends[0].modell: there is no such field, did you mean model?"),
        ("type: openai\n    cost_per_1k: -1", "4: backends[0].cost_per_1k: Input should be greater than or equal"),
        ("type: openai\n    cost_per_1k: .nan", "4: backends[0].cost_per_1k: Input should be a finite number"),
        ("type: openai\n    timeout_seconds: .inf", "4: backends[0].timeout_seconds: "),
        ("type: openai\n    first_token_seconds: 0", "4: backends[0].first_token_seconds: "),
        ("type: openai\n    model: 4.1", "4: backends[0].model: a text is expected, put it in quotes"),
        ("type: openai\n    languages:\n      - zh\n      - no", "6: backends[0].languages[1]: a text is expected"),
        ("type: openai\n    languages: [Chinese]", "4: backends[0].languages[0]: a code such as zh or en is expected"),
        ("type: openai\n    retries: 1\n    retries: 2", "5: backends[0].retries: given twice, first in line 4"),
        ("type: vllm", "2: backends[0].endpoint: is missing"),
        ("type: vllm\n    endpoint: gpu:8000", "4: backends[0].endpoint: an address such as "),
        ("type: vllm\n    endpoint: 'http://[::1'", "4: backends[0].endpoint: Invalid IPv6 URL"),
        ("type: vllm\n    endpoint: http://me:pw@gpu", "4: backends[0].endpoint: a password in the address"),
        ("type: anthropic\n    capabilities: [embedding]", "4: backends[0].capabilities: Anthropic has no embedding"),
        ("type: openai\n    api_key: ${KEY}", "4: backends[0].api_key: nothing is interpolated here"),
        ("type: openai\n    api_key: two words", "4: backends[0].api_key: the key has spaces"),
        ("type: openai\n    api_key_env: NOT_SET_ANYWHERE", "4: backends[0].api_key_env: there is no such"),
        ("type: openai\n    api_key_file: nowhere", "4: backends[0].api_key_file: No such file or directory"),
        ("type: openai\n    api_key: k\n    api_key_env: K", "5: backends[0].api_key_env: api_key is given too"),
        ("type: openai\n  - name: a\n    type: openai", "4: backends[1].name: backends[0] has this name already"),
        ("type: openai\n  - type: openai", "4: backends[1].name: is missing"),
        ("type: openai\n  - 3", "4: backends[1]: a mapping is expected"),
        ("type: openai\nrouting_strategy: cheap", "4: routing_strategy: Input should be 'cost_optimized' or"),
        (
            "type: openai\nsemantic_cache:\n  similarity_treshold: 1",
            "5: semantic_cache.similarity_treshold: there is no",
        ),
        ("type: openai\nsemantic_cache:\n  similarity_threshold: 1.5", "5: semantic_cache.similarity_threshold: "),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, entry: str, told: str) -> None:
    (found,) = mistakes(tmp_path, f"backends:\n  - name: a\n    {entry}\n")
    assert found.startswith(told)


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    # Given a file with mistakes of every kind: a doubled key, a form, a content
    entries = "- name: a\n  type: vllm\n  weak: 7\n- name: a\n  type: openai\n  type: openai\n"
    text = f"routing_strategi: x\nbackends:\n{entries}"
    # When it is read, then each has its line
    assert [line.partition(" ")[0] for line in mistakes(tmp_path, text)] == ["1:", "3:", "5:", "6:", "8:"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "1: the file is empty"),
        (b"# nothing yet\n", "1: the file is empty"),
        (b"\n- a\n", "2: a mapping is expected here, this is a list"),
        (b"backends: []", "1: backends: there must be one at least"),
        (b"backends: 3", "1: backends: a list is expected"),
        (b"a: 1\nbackends: [", "2: while parsing a flow node"),
        (b"a: b: c", "1: mapping values are not allowed here"),
        (b"a: 1\n\tb: 2", "2: "),
        (b"a: 1\nb: 2024-13-45", "2: month must be in 1..12"),
        (b"a: 1\nb: !!timestamp x", "2: this is no value of its kind"),
        (b"a: 1\nb: !!int ''", "2: this is no value of its kind"),
        (b"a: 1\nb: !!python/object:os.system x", "2: could not determine a constructor"),
        (b"a: \x07", "1: the character #x7 is not allowed"),
        (b"a: 1\nb: \xff", "2: this is not UTF-8 (byte 8 of the file)"),
        (b"[" * 100_000, "1: it is nested too deeply"),
        (b"x" * (1024 * 1024 + 1), "1: the file is larger than 1024 KB"),
    ],
)
def test_what_is_no_models_file_at_all_is_told_in_a_line(tmp_path: Path, raw: bytes, told: str) -> None:
    (found,) = mistakes(tmp_path, raw)
    assert found.startswith(told)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelsFile, match=r"models\.yaml: No such file or directory"):
        load(tmp_path / "models.yaml", Settings())


def test_a_merge_key_may_be_overridden_and_its_mistake_has_its_own_line(tmp_path: Path) -> None:
    base = "backends:\n- &base {name: a, type: openai, retries: 2}\n- {<<: *base, name: b, retries: %s}\n"
    assert [backend.retries for backend in read(tmp_path, base % 0).backends[:2]] == [2, 0]
    (found,) = mistakes(tmp_path, base % -1)
    assert found.startswith("3: backends[1].retries: ")


# -------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("place", ["api_key", "api_key_env", "api_key_file"])
def test_a_key_is_found_where_it_is_said_to_be_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv("WRITERS_KEY", KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    said = {"api_key": KEY, "api_key_env": "WRITERS_KEY", "api_key_file": "key"}[place]
    found = first(tmp_path, f"type: openai, {place}: '{said}'")
    assert found.api_key == KEY and KEY not in repr(found)


@pytest.mark.parametrize("entry", [f"api_key: '{KEY} x'", f"api_key_env: {KEY}", f"api_key_file: {KEY}"])
def test_no_mistake_shows_what_may_be_a_key(tmp_path: Path, entry: str) -> None:
    (found,) = mistakes(tmp_path, f"backends: [{{name: a, type: openai, {entry}}}]")
    assert KEY not in found


def test_the_usual_key_is_sent_to_its_own_server_only(tmp_path: Path) -> None:
    known = {"openai_api_key": KEY, "anthropic_api_key": "sk-ant"}
    assert first(tmp_path, "type: openai", **known).api_key == KEY
    assert first(tmp_path, "type: anthropic", **known).api_key == "sk-ant"
    assert first(tmp_path, "type: openai, endpoint: 'https://elsewhere.example/v1'", **known).api_key is None
    assert first(tmp_path, "type: vllm, endpoint: 'https://api.openai.com/v1'", **known).api_key is None
    # And with OPENAI_BASE_URL it is that server's key
    proxied = {**known, "openai_base_url": "http://proxy/v1"}
    assert first(tmp_path, "type: openai", **proxied).api_key == KEY
    assert first(tmp_path, "type: openai, endpoint: 'https://api.openai.com/v1'", **proxied).api_key is None


# ---------------------------------------------------------------------------------------------------- embedded models


def test_the_embedded_model_is_there_where_up_started_it(tmp_path: Path) -> None:
    text = "backends: [{name: tiny, type: embedded}, {name: other, type: openai}]"
    assert [one.name for one in read(tmp_path, text).backends] == ["other", "embedded/use"]
    tiny = read(tmp_path, text, embedded_model_url="http://127.0.0.1:9/v1", embedded_model_key="k").backends[0]
    assert (tiny.name, tiny.endpoint, tiny.api_key, tiny.weak) == ("tiny", "http://127.0.0.1:9/v1", "k", True)


def test_embedding_backends_embed_and_do_nothing_else(tmp_path: Path) -> None:
    text = """backends:
    - {name: vectors, type: vllm, endpoint: "http://gpu:8000", model: bge-m3, capabilities: [embedding]}
    - {name: sentences, type: embedded, capabilities: [embedding]}"""
    found = read(tmp_path, text).backends
    # The sentence encoder has the file's name, and is not there a second time
    assert [(one.name, one.model) for one in found] == [("vectors", "bge-m3"), ("sentences", SENTENCES.model)]
    assert all(one.is_able("en", EMBEDDING) and not one.is_able("en") for one in found)
