"""Which backends there are without a models file, and what is usual for one of a type where the file says nothing.

Found are, in this order: the chat models of a running Ollama, OpenAI's and Anthropic's where their usual key variables
are set, and the embedded model where `up` started one. The embedded sentence encoder is always there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from gateway.backend import EMBEDDED_MODEL, EMBEDDING, Backend, Kind, languages_by_name
from gateway.backends import ollama, prices
from gateway.backends.embedded import CONTEXT_TOKENS_A_SLOT
from settings import Settings

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC_CONTEXT_TOKENS = 200_000  # of every model that it offers, those too that the price list does not know
HOSTED = ("openai", "anthropic")

SENTENCES = Backend(
    name="embedded/use",
    kind="embedded",
    endpoint="",
    model="use-multilingual",
    languages=("zh", "en"),
    capabilities=(EMBEDDING,),
)


def found(known: Settings) -> tuple[Backend, ...]:
    """Every backend of this machine, the preferred one first."""
    hosted = []
    if known.openai_api_key.get_secret_value():
        hosted.append(_hosted("openai", known.openai_model, known))
    if known.anthropic_api_key.get_secret_value():
        hosted.append(_hosted("anthropic", known.anthropic_model, known))
    smallest = _embedded_chat(f"embedded/{EMBEDDED_MODEL}", known)
    return (*ollama.found_at(known.ollama_url), *hosted, *([smallest] if smallest else []), SENTENCES)


def usual(kind: Kind, name: str, model: str | None, known: Settings, *, embedding: bool) -> Backend | None:
    """A backend of a type as it usually is; None: an embedded model that does not run here."""
    if kind == "embedded":
        return replace(SENTENCES, name=name) if embedding else _embedded_chat(name, known)
    model = model or name
    listed = prices.listed(kind, model)
    more: dict[str, Any] = {"context_tokens": ANTHROPIC_CONTEXT_TOKENS} if kind == "anthropic" else {}
    if listed:
        more = listed._asdict()
    return Backend(
        name=name, kind=kind, endpoint=_endpoint(kind, known), model=model, languages=languages_by_name(model), **more
    )


def usual_key(kind: Kind, endpoint: str, known: Settings) -> str | None:
    """The key of the usual variable, for the server that it belongs to: nobody else is sent it."""
    keys = {"openai": known.openai_api_key, "anthropic": known.anthropic_api_key}
    if kind not in keys or urlsplit(endpoint)[:2] != urlsplit(_endpoint(kind, known))[:2]:
        return None
    return keys[kind].get_secret_value() or None


def is_without_price(backend: Backend) -> bool:
    """Whether calls cost money and nobody said how much."""
    return backend.kind in HOSTED and not backend.price_in and not backend.price_out


def _hosted(kind: Kind, model: str, known: Settings) -> Backend:
    backend = usual(kind, f"{kind}/{model}", model, known, embedding=False)
    assert backend is not None
    return replace(backend, api_key=usual_key(kind, backend.endpoint, known))


def _endpoint(kind: Kind, known: Settings) -> str:
    usually = {"openai": known.openai_base_url or OPENAI_URL, "anthropic": ANTHROPIC_URL, "ollama": known.ollama_url}
    return usually.get(kind, "")


def _embedded_chat(name: str, known: Settings) -> Backend | None:
    """The embedded model where `up` started one: small, quick, English only, and weak."""
    if not known.embedded_model_url:
        return None
    return Backend(
        name=name,
        kind="embedded",
        endpoint=known.embedded_model_url,
        model=EMBEDDED_MODEL,
        languages=("en",),
        api_key=known.embedded_model_key.get_secret_value() or None,
        weak=True,
        context_tokens=CONTEXT_TOKENS_A_SLOT,
        timeout_seconds=30.0,
    )
