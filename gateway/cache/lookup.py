"""Answers that were given before: L1 in this process, L2 in Redis, L3 in Postgres for questions that mean the same.

    found = cache.look(ask, caller, backend.model, configuration)
    if isinstance(found, cache.Miss):
        with cache.flight(found, seconds=30, cancelled=cancelled) as earlier:    # one asks, the others wait for it
            if earlier is None:
                answer = ...
                cache.keep(found, answer)

L1 and L2 hold the answer of exactly this request: everything that the answer depends on is in the key, and so are the
tenant, its clearance and the policy version, so that nothing leaks over them. L3 compares the last question by its
meaning and everything else exactly (semantic.py). Only asks that say so are looked up, and nothing here raises
but Stopped: a cache that is away is a miss.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

from cachetools import TLRUCache

import metrics
from gateway.backends.models_file import Configuration, SemanticCache
from gateway.cache import semantic
from gateway.cache.flight import flight as _one_flight
from gateway.cache.flight import landed
from gateway.request import Ask, Caller
from storage import model_cache

Level: TypeAlias = Literal["l1", "l2", "l3"]
Value: TypeAlias = tuple[bytes, float]  # an answer's JSON, and the monotonic time at which it is forgotten

L1_BYTES = 16 * 1024 * 1024
L1_ENTRIES = 16_384
L1_SECONDS = 60.0  # then Redis is asked again: only Redis knows when an answer ends, or was to be forgotten


@dataclass(frozen=True)
class CachedAnswer:
    """An answer as it is kept. backend, model: who gave it."""

    text: str
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    model: str = ""
    backend: str = ""
    finish_reason: str | None = None


@dataclass(frozen=True)
class Hit:
    """An earlier answer, and where it was."""

    level: Level
    answer: CachedAnswer


@dataclass(frozen=True)
class Miss:
    """Where an answer is to be kept. key: "" where the ask wants no cache; question: for L3, where that is on."""

    tenant_id: UUID
    key: str
    seconds: float
    question: semantic.Question | None = None


def _ends(_key: str, value: Value, _now: float) -> float:
    return value[1]


def _room(value: Value) -> int:
    # No entry counts for less than its share, so that one bound holds both bytes and entries.
    return max(len(value[0]), L1_BYTES // L1_ENTRIES)


_lock = threading.Lock()
_l1: TLRUCache[str, Value] = TLRUCache(L1_BYTES, ttu=_ends, timer=time.monotonic, getsizeof=_room)


def look(ask: Ask, caller: Caller, model: str, configuration: Configuration) -> Hit | Miss:
    """An earlier answer to this, or where to keep the new one. model: the first able backend's."""
    if ask.cache == "none" or ask.operation != "chat":
        return Miss(caller.tenant_id, "", 0.0)
    key = key_of(ask, caller, model)
    if hit := _from_l1(key) or _from_l2(caller.tenant_id, key, ask.cache_seconds):
        return hit
    question = _question(ask, caller, model, configuration.semantic_cache)
    if question is not None:
        answer = semantic.near(question, configuration.semantic_cache.similarity_threshold)
        if hit := _hit("l3", answer.encode() if answer is not None else None):
            return hit
    return Miss(caller.tenant_id, key, ask.cache_seconds, question)


def keep(miss: Miss, answer: CachedAnswer) -> None:
    """Keep an answer on every level that its ask wanted. Only whole, good ones: the caller decides what is one."""
    if not miss.key:
        return
    value = _value(answer)
    _remember(miss.key, value, min(miss.seconds, L1_SECONDS))
    model_cache.put(miss.tenant_id, miss.key, value, miss.seconds)
    landed(miss.key, value)
    # A call of a tool is an act: near is not near enough for that.
    if miss.question is not None and not answer.tool_calls:
        semantic.keep(miss.question, value.decode())


def share(miss: Miss, answer: CachedAnswer) -> None:
    """Give an answer that is not to be kept to those of this process who ask the same at this moment."""
    if miss.key:
        landed(miss.key, _value(answer))


@contextmanager
def flight(
    miss: Miss, *, seconds: float, cancelled: Callable[[], bool] = lambda: False
) -> Iterator[CachedAnswer | None]:
    """Yields None to the one who is to ask (and `keep`s what comes), to others the answer of that one. Raises Stopped.

    seconds: how long others wait at most; then they ask for themselves.
    """
    if not miss.key:
        yield None
        return
    with _one_flight(miss.tenant_id, miss.key, seconds=seconds, cancelled=cancelled) as value:
        yield _answer(value)


def key_of(ask: Ask, caller: Caller, model: str) -> str:
    """The key of exactly this request: a hash over everything that its answer depends on, and for whom it is."""
    return hashlib.sha256(canonical({**for_whom(ask, caller, model), "messages": list(ask.messages)})).hexdigest()


def for_whom(ask: Ask, caller: Caller, model: str) -> dict[str, Any]:
    """All that must be equal for two asks to share an answer, but their messages."""
    return {
        "tenant": str(caller.tenant_id),
        "clearance": caller.clearance,
        "policy_version": caller.policy_version,
        "prompt_version": ask.prompt_version,
        "model": model,
        "tools": list(ask.tools),
        "schema": ask.schema,
        "max_tokens": ask.max_tokens,
        "temperature": ask.temperature,
        "seed": ask.seed,
    }


def canonical(value: Any) -> bytes:
    """JSON in which equal things are equal bytes."""
    return json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=str).encode()


def forget() -> None:
    """Empty this process's own level (tests)."""
    with _lock:
        _l1.clear()


def _question(ask: Ask, caller: Caller, model: str, chosen: SemanticCache) -> semantic.Question | None:
    if ask.cache != "semantic" or not chosen.enabled:
        return None
    seconds = min(ask.cache_seconds, chosen.ttl_seconds)
    return semantic.question_of(caller.tenant_id, for_whom(ask, caller, model), ask.messages, seconds)


def _from_l1(key: str) -> Hit | None:
    with _lock:
        known = _l1.get(key)
    return _hit("l1", known[0] if known else None)


def _from_l2(tenant_id: UUID, key: str, seconds: float) -> Hit | None:
    value = model_cache.get(tenant_id, key)
    hit = _hit("l2", value)
    if hit and value:
        _remember(key, value, min(seconds, L1_SECONDS))
    return hit


def _remember(key: str, value: bytes, seconds: float) -> None:
    with _lock:
        if len(value) <= L1_BYTES // 16:  # one huge answer must not push all others out
            _l1[key] = (value, time.monotonic() + seconds)


def _hit(level: Level, value: bytes | None) -> Hit | None:
    answer = _answer(value)
    metrics.CACHE_LOOKUPS.labels(level, "hit" if answer else "miss").inc()
    return Hit(level, answer) if answer else None


def _value(answer: CachedAnswer) -> bytes:
    return json.dumps(asdict(answer), ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _answer(value: bytes | None) -> CachedAnswer | None:
    """The answer, or None for what another version wrote."""
    if value is None:
        return None
    try:
        fields = json.loads(value)
        return CachedAnswer(**{**fields, "tool_calls": tuple(fields["tool_calls"])})
    except (ValueError, TypeError, KeyError):
        return None
