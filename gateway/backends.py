"""Which backends this process may use: the models file's, or without a file a running Ollama and the embedded model."""

from __future__ import annotations

from dataclasses import replace

from gateway import ollama
from gateway.backend import EMBEDDED_MODEL, Backend
from gateway.models_file import backends_of
from settings import settings


def backends() -> tuple[Backend, ...]:
    """Every backend, the preferred one first. InvalidModelsFile where there is a file and it is wrong."""
    chosen = settings()
    if chosen.models:
        found = (
            embedded(entry.name) if entry.kind == "embedded" else with_endpoint(entry, chosen.ollama_url)
            for entry in backends_of(chosen.models)
        )
        return tuple(backend for backend in found if backend)
    smallest = embedded("embedded")
    return (*ollama.found_at(chosen.ollama_url), *([smallest] if smallest else []))


def embedded(name: str) -> Backend | None:
    """The embedded model where `up` started one: small, quick, English only, and weak."""
    chosen = settings()
    if not chosen.embedded_model_url:
        return None
    return Backend(
        name=f"{name}/{EMBEDDED_MODEL}",
        kind="embedded",
        endpoint=chosen.embedded_model_url,
        model=EMBEDDED_MODEL,
        languages=("en",),
        api_key=chosen.embedded_model_key.get_secret_value() or None,
        weak=True,
        timeout_seconds=30.0,
    )


def with_endpoint(entry: Backend, ollama_url: str) -> Backend:
    """An entry of the file with its address filled in where its type has a standard one."""
    if entry.kind == "ollama" and not entry.endpoint:
        return replace(entry, endpoint=ollama_url)
    return entry
