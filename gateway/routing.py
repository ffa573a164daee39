"""Which backends may answer a request, in the order in which they are asked: a pure function.

Able is who knows the language, has the capability, holds prompt and answer in its context, and is allowed to the
tenant. Of the able ones, the order is

1. for a **simple** request the small models, for any other the large ones. Simple is a request of at most 500 tokens
   whose answer is limited to 256, without tools, and not marked `quality="high"`;
2. weak models after all others;
3. what the strategy says: `cost_optimized` by the price of this very request, `latency_optimized` by the median time to
   the first token, in steps of a factor of 1.5, so that noise does not reorder equals, then by the price;
4. the order of the models file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from gateway.backend import Backend
from gateway.request import Ask

Strategy: TypeAlias = Literal["cost_optimized", "latency_optimized"]

SIMPLE_PROMPT_TOKENS = 500
SIMPLE_ANSWER_TOKENS = 256
USUAL_FIRST_TOKEN_MS = 500.0  # what a backend that nobody asked yet is believed to need
STEP = 1.5


def order(
    ask: Ask,
    backends: Sequence[Backend],
    *,
    strategy: Strategy = "cost_optimized",
    median_ms: Mapping[str, float | None] | None = None,
    allowed: Sequence[str] | None = None,
    written_for: Backend | None = None,
) -> list[Backend]:
    """The able backends, the one to ask first in front.

    median_ms: by a backend's name; allowed: patterns of names or models that the tenant may use, None for all;
    written_for: the backend that the prompt was written for; only those are able then that are as weak as it, or as
    strong, because a weak model needs prompts of its own.
    """
    medians = median_ms or {}
    simple = is_simple(ask)

    def key(backend: Backend) -> tuple[object, ...]:
        cost = backend.price(ask.tokens_in, ask.answer_tokens)
        latency = 0 if strategy == "cost_optimized" else steps(medians.get(backend.name) or USUAL_FIRST_TOKEN_MS)
        return (backend.small != simple, backend.weak, latency, cost)

    able = [
        backend
        for backend in backends
        if backend.is_able(ask.language, ask.capability)
        and holds(backend, ask)
        and is_allowed(backend, allowed)
        and (written_for is None or backend.weak == written_for.weak)
    ]
    return sorted(able, key=key)


def is_simple(ask: Ask) -> bool:
    """Whether a small model will do: the rule of this module's first lines."""
    short = ask.tokens_in <= SIMPLE_PROMPT_TOKENS and ask.answer_tokens <= SIMPLE_ANSWER_TOKENS
    return short and not ask.tools and ask.quality != "high"


def holds(backend: Backend, ask: Ask) -> bool:
    """Whether prompt and answer fit into the model's context; an answer without a limit needs no more than is left."""
    needed = ask.longest_tokens if ask.operation == "embed" else ask.tokens_in + (ask.max_tokens or 1)
    return needed <= backend.context_tokens


def is_allowed(backend: Backend, allowed: Sequence[str] | None) -> bool:
    """Whether a tenant with these patterns may use it; an embedded model is everybody's."""
    if allowed is None or backend.kind == "embedded":
        return True
    return any(fnmatchcase(name, pattern) for pattern in allowed for name in (backend.name, backend.model))


def steps(milliseconds: float) -> int:
    """A time in steps of a factor of 1.5: two that are alike are the same."""
    return round(math.log(max(1.0, milliseconds), STEP))
