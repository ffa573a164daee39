"""The models file: which backends there are, as YAML; its path is the setting BATON_MODELS.

    backends:
      - name: "writer-zh"
        type: "vllm"                          # vllm | openai | ollama | embedded
        endpoint: "http://127.0.0.1:8000"
        model: "Qwen/Qwen3-8B"
        capabilities: ["chat"]
        languages: ["zh", "en"]

Backends are tried in the order of the file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gateway.backend import Backend, Kind, languages_by_name


class InvalidModelsFile(ValueError):
    """The models file cannot be used; the message names the file, the place and the mistake."""


class BackendEntry(BaseModel):
    """One entry under `backends`; a field that is not listed here is a mistake."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    type: Kind
    endpoint: str = Field("", description="base URL; an OpenAI-compatible one may leave out /v1")
    model: str | None = Field(None, description="the model's name at the endpoint (default: `name`)")
    capabilities: tuple[str, ...] = Field((), description="what it is good for (default: everything)")
    languages: tuple[str, ...] | None = Field(None, description="codes such as zh (default: by the model's name)")
    api_key: SecretStr | None = None
    timeout_seconds: float = Field(60.0, gt=0)
    cost_per_1k: float = Field(0.0, ge=0)
    weak: bool = False


class ModelsFile(BaseModel):
    """The whole file. Routing and cache are read by the gateway's later versions and only checked here."""

    model_config = ConfigDict(extra="forbid")

    backends: tuple[BackendEntry, ...]
    routing_strategy: str | None = None
    semantic_cache: dict[str, Any] | None = None


def backends_of(path: Path) -> tuple[Backend, ...]:
    """The file's backends in its order, read again when the file changes. InvalidModelsFile says what is wrong."""
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as missing:
        raise InvalidModelsFile(f"{path}: {missing.strerror}") from missing
    return _read(path, stamp)


@lru_cache(maxsize=4)
def _read(path: Path, _stamp: int) -> tuple[Backend, ...]:
    try:
        entries = ModelsFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).backends
    except yaml.YAMLError as wrong:
        raise InvalidModelsFile(f"{path}: {wrong}") from wrong
    except ValidationError as wrong:
        first = wrong.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidModelsFile(f"{path}: {place}: {first['msg']}") from wrong
    return tuple(_backend(entry) for entry in entries)


def _backend(entry: BackendEntry) -> Backend:
    model = entry.model or entry.name
    return Backend(
        name=entry.name,
        kind=entry.type,
        endpoint=entry.endpoint,
        model=model,
        languages=entry.languages or languages_by_name(model),
        capabilities=entry.capabilities,
        api_key=entry.api_key.get_secret_value() if entry.api_key else None,
        weak=entry.weak,
        timeout_seconds=entry.timeout_seconds,
    )
