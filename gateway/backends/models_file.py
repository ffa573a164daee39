"""The models file: which backends there are, as YAML; its path is the setting BATON_MODELS.

    routing_strategy: "cost_optimized"        # or latency_optimized
    backends:
      - name: "writer-zh"
        type: "vllm"                          # openai | vllm | ollama | anthropic | embedded
        endpoint: "http://127.0.0.1:8000"     # vllm needs one; the others have a usual place
        model: "Qwen/Qwen3-8B"                # default: the name
        capabilities: ["chat"]                # default: everything but embedding
        languages: ["zh", "en"]               # default: by the model's name
        api_key_env: "WRITER_KEY"             # or api_key_file, or api_key itself
        cost_per_1k_in: 0.0002                # cost_per_1k stands for both; default: gateway/backends/data/prices.yaml
        cost_per_1k_out: 0.0006
        context_tokens: 32768
    semantic_cache:
      enabled: true
      similarity_threshold: 0.92

A field that is not listed in the classes below is a mistake. Every mistake is told, as `PATH:LINE: place: message`.
Nothing is interpolated: `${NAME}` is not looked up, `api_key_env` is. `configuration.py` reads the file anew when it
changes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from gateway.backend import EMBEDDING, Backend, Kind
from gateway.backends import discovery
from gateway.backends.api_keys import KeyMistake, Keys
from gateway.routing import Strategy
from settings import Settings, SettingsError
from storage.file_stamp import Stamps, stamp_of
from storage.yaml_lines import Document, Mistake, Place, Unreadable, path_of, read

MAX_BYTES = 1024 * 1024
SAME_NAMES = (
    "context_tokens",
    "connect_seconds",
    "first_token_seconds",
    "timeout_seconds",
    "retries",
    "weak",
    "small",
)  # in an entry and in a Backend

Text = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^\S(.*\S)?$")]
Seconds = Annotated[float, Field(gt=0, le=600, allow_inf_nan=False)]  # less than until a call counts as lost
Money = Annotated[Decimal, Field(ge=0, le=10_000)]
PLAIN = {  # pydantic's kinds of mistakes, in words for people who know no Python
    "missing": "is missing",
    "string_type": "a text is expected",
    "tuple_type": "a list is expected",
    "model_type": "a mapping is expected",
    "decimal_type": "a number is expected",
    "string_pattern_mismatch": "a text without line breaks and without spaces around it is expected",
}


class InvalidModelsFile(SettingsError):
    """The models file cannot be used; the message has a line for each mistake, with file, line and place."""

    def __init__(self, message: str, stamps: Stamps | None = None) -> None:
        super().__init__(message)
        self.stamps = stamps or {}


@dataclass(frozen=True)
class SemanticCache:
    """Whether calls that allow it may be given an earlier answer to a like question, and how like it must be."""

    enabled: bool = False
    similarity_threshold: float = 0.92
    ttl_seconds: float = 3600.0


@dataclass(frozen=True)
class Configuration:
    """What the gateway works with. without_price: names of hosted backends whose price nobody told, so that it is 0."""

    backends: tuple[Backend, ...]
    routing_strategy: Strategy = "cost_optimized"
    semantic_cache: SemanticCache = field(default_factory=SemanticCache)
    without_price: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Loaded:
    """A file as it was read. stamps: of the file, and of the files with keys that it names."""

    configuration: Configuration
    stamps: Stamps


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class BackendEntry(_Entry):
    """One entry under `backends`. Defaults of None: what the type, the list prices or gateway/backend.py say."""

    name: Text
    type: Kind
    endpoint: str | None = None
    model: Text | None = None
    capabilities: tuple[Text, ...] = ()
    languages: tuple[Annotated[str, Field(pattern="^[a-z]{2,3}$")], ...] | None = None
    api_key: SecretStr | None = None
    api_key_env: Text | None = None
    api_key_file: Text | None = None
    cost_per_1k: Money | None = None
    cost_per_1k_in: Money | None = None
    cost_per_1k_out: Money | None = None
    context_tokens: int | None = Field(None, ge=128, le=100_000_000)
    connect_seconds: Seconds | None = None
    first_token_seconds: Seconds | None = None
    timeout_seconds: Seconds | None = None
    retries: int | None = Field(None, ge=0, le=5)
    weak: bool | None = None
    small: bool | None = None

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, given: str | None) -> str | None:
        parts = urlsplit(given or "http://none")  # ValueError for a broken [IPv6] address
        if parts.scheme not in ("http", "https") or not parts.hostname or (parts.port or 1) < 1:
            raise ValueError("an address such as http://127.0.0.1:8000 is expected")
        if parts.username or parts.password:
            raise ValueError("a password in the address would be shown; use api_key_env or api_key_file")
        return given or None


class SemanticCacheEntry(_Entry):
    """The section `semantic_cache`. backend: both words mean pgvector, the first is the source documents'."""

    enabled: bool = False
    backend: Literal["redis-vector", "pgvector"] = "pgvector"
    similarity_threshold: float = Field(0.92, gt=0, le=1, allow_inf_nan=False)
    ttl_seconds: float = Field(3600.0, gt=0, le=365 * 24 * 3600, allow_inf_nan=False)


class ModelsFile(_Entry):
    """The whole file."""

    backends: tuple[BackendEntry, ...] = Field(max_length=1000)
    routing_strategy: Strategy = "cost_optimized"
    semantic_cache: SemanticCacheEntry = Field(default_factory=SemanticCacheEntry)


def load(path: Path, known: Settings) -> Loaded:
    """Read and check the file. known: where servers are found that the file does not name. Raises InvalidModelsFile."""
    stamps, keys = {path: stamp_of(path)}, Keys(path.parent)
    try:
        document = read(_bytes(path))
        file, mistakes = _checked(document, keys)
    except Unreadable as wrong:
        file, mistakes = None, [*wrong.mistakes]
    except OSError as missing:
        raise InvalidModelsFile(f"{path}: {missing.strerror}", stamps) from missing
    stamps |= keys.stamps
    if file is None or mistakes:
        raise InvalidModelsFile("\n".join(f"{path}:{mistake.line}: {mistake}" for mistake in sorted(mistakes)), stamps)
    return Loaded(_configuration(file, keys, known), stamps)


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise Unreadable(Mistake(1, "", f"the file is larger than {MAX_BYTES // 1024} KB"))
    return raw


# ---------------------------------------------------------------------------------------------------------- mistakes


def _checked(document: Document, keys: Keys) -> tuple[ModelsFile | None, list[Mistake]]:
    """The file's content where its form is right, and all mistakes."""
    mistakes = [*document.doubled]
    file = None
    try:
        file = ModelsFile.model_validate(document.value)
    except ValidationError as wrong:
        mistakes += [_of_form(document, error) for error in wrong.errors()]
    entries = document.value.get("backends")
    if isinstance(entries, list):
        found = _of_content(entries, keys)
        mistakes += [Mistake(document.line(place), path_of(place), message) for place, message in found]
    return file, mistakes


def _of_form(document: Document, error: Any) -> Mistake:
    """A mistake that pydantic found, in our words where its own are not plain."""
    place: Place = error["loc"]
    message = PLAIN.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _fields_at(place), n=1, cutoff=0.5)
        message = "there is no such field" + (f", did you mean {near[0]}?" if near else "")
    elif error["type"] == "string_type" and not isinstance(error["input"], dict | list | None):
        message = "a text is expected, put it in quotes"
    elif error["type"] == "string_pattern_mismatch" and "languages" in place:
        message = "a code such as zh or en is expected"
    return Mistake(document.line(place, of_key=error["type"] == "extra_forbidden"), path_of(place), message)


def _fields_at(place: Place) -> list[str]:
    by_section: dict[str | int, type[BaseModel]] = {"backends": BackendEntry, "semantic_cache": SemanticCacheEntry}
    return list((by_section[place[0]] if len(place) > 1 else ModelsFile).model_fields)


def _of_content(entries: list[Any], keys: Keys) -> Iterator[tuple[Place, str]]:
    """What is wrong although its form is right. Looks at the raw entries, so that it is told together with the rest."""
    names: dict[str, int] = {}
    if not entries:
        yield ("backends",), "there must be one at least"
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        name = entry.get("name")
        if isinstance(name, str) and names.setdefault(name, number) != number:
            yield ("backends", number, "name"), f"backends[{names[name]}] has this name already"
        if entry.get("type") == "vllm" and not entry.get("endpoint"):
            yield ("backends", number, "endpoint"), "is missing: a vLLM server has no usual address"
        capabilities = entry.get("capabilities")
        if entry.get("type") == "anthropic" and isinstance(capabilities, list) and EMBEDDING in capabilities:
            yield ("backends", number, "capabilities"), "Anthropic has no embedding"
        try:
            keys.find(number, entry)
        except KeyMistake as wrong:
            yield ("backends", number, wrong.field), str(wrong)


# ----------------------------------------------------------------------------------------------------- configuration


def _configuration(file: ModelsFile, keys: Keys, known: Settings) -> Configuration:
    found = [(_backend(entry, keys.of(number), known), entry) for number, entry in enumerate(file.backends)]
    there = [(backend, entry) for backend, entry in found if backend]
    backends = [backend for backend, _ in there]
    if not any(backend.kind == "embedded" and EMBEDDING in backend.capabilities for backend in backends):
        backends.append(discovery.SENTENCES)
    cache = file.semantic_cache
    return Configuration(
        backends=tuple(backends),
        routing_strategy=file.routing_strategy,
        semantic_cache=SemanticCache(cache.enabled, cache.similarity_threshold, cache.ttl_seconds),
        without_price=frozenset(backend.name for backend, entry in there if _is_without_price(backend, entry)),
    )


def _backend(entry: BackendEntry, key: str | None, known: Settings) -> Backend | None:
    """The entry as a backend; None: an embedded model that does not run here."""
    usual = discovery.usual(entry.type, entry.name, entry.model, known, embedding=EMBEDDING in entry.capabilities)
    if usual is None:
        return None
    given: dict[str, Any] = {
        "languages": entry.languages,
        "capabilities": entry.capabilities or None,
        "price_in": _first(entry.cost_per_1k_in, entry.cost_per_1k),
        "price_out": _first(entry.cost_per_1k_out, entry.cost_per_1k),
        **{name: getattr(entry, name) for name in SAME_NAMES},
    }
    if entry.type != "embedded":
        endpoint = entry.endpoint or usual.endpoint
        given |= {"endpoint": endpoint, "api_key": key or discovery.usual_key(entry.type, endpoint, known)}
    return replace(usual, **{name: value for name, value in given.items() if value is not None})


def _first(*values: Decimal | None) -> Decimal | None:
    return next((value for value in values if value is not None), None)


def _is_without_price(backend: Backend, entry: BackendEntry) -> bool:
    named = (entry.cost_per_1k, entry.cost_per_1k_in, entry.cost_per_1k_out)
    return discovery.is_without_price(backend) and all(cost is None for cost in named)
