"""L3: an answer to another question that asks the same. Only the last message may differ, and only in its wording.

The scope is a hash over everything else that an answer depends on, with the tenant, its clearance and the policy
version, and over the question's guard: two asks of different scopes are never compared. Within a scope the nearest
questions are fetched by their embedding (storage/semantic_cache.py), and gateway/cache/similarity.py decides.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from cachetools import LRUCache

from gateway.cache.similarity import is_same
from gateway.cache.wording import Wording, wording
from gateway.wire import embeddings
from storage import semantic_cache

log = structlog.get_logger(__name__)

MAX_QUESTION_CHARS = 600  # beyond it a question is a document, and one changed word in it means little to an encoder
RULES = 1  # a change of wording or guards makes new scopes: what older rules kept is not looked at any more

_lock = threading.Lock()
_parts: LRUCache[str, tuple[float, ...]] = LRUCache(4096)  # embeddings of the few words in which questions differ
_off = False


@dataclass(frozen=True)
class Question:
    """The last message as L3 compares it."""

    tenant_id: UUID
    scope: bytes
    wording: Wording
    embedding: list[float]
    seconds: float


def question_of(
    tenant_id: UUID, fixed: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], seconds: float
) -> Question | None:
    """What is looked up and kept, or None where L3 is no help: no pgvector, or no short question as the last message.

    fixed: all that must be equal, besides the messages before the last.
    """
    last = messages[-1] if messages else {}
    text = last.get("content")
    if _off or set(last) != {"role", "content"} or last["role"] != "user" or not isinstance(text, str):
        return None
    if not 0 < len(text) <= MAX_QUESTION_CHARS or not semantic_cache.available():
        return None
    said = wording(text)
    if not said.words or not _encoder_works():
        return None
    must_be_equal = {"rules": RULES, "fixed": fixed, "before": list(messages[:-1]), "guard": said.guard}
    encoded = json.dumps(must_be_equal, sort_keys=True, separators=(",", ":"), default=str).encode()
    return Question(tenant_id, hashlib.sha256(encoded).digest(), said, embeddings.encode([said.text])[0], seconds)


def near(question: Question, threshold: float) -> str | None:
    """The answer that was kept for a question that asks the same, or None."""
    for found in semantic_cache.near(question.tenant_id, question.scope, question.embedding, threshold):
        kept = json.loads(found.answer)
        # Scopes are equal, and so guards and kinds are.
        other = Wording(question.wording.kind, tuple(kept["words"]), question.wording.guard)
        if is_same(question.wording, other, _closeness):
            return str(kept["answer"])
    return None


def keep(question: Question, answer: str) -> None:
    """Keep an answer's JSON with the words of its question, which later ones are compared with."""
    kept = json.dumps({"words": question.wording.words, "answer": answer}, separators=(",", ":"))
    words = hashlib.sha256("\0".join(question.wording.words).encode(errors="replace")).digest()
    semantic_cache.keep(question.tenant_id, question.scope, question.embedding, words, kept, question.seconds)


def _closeness(one: str, other: str) -> float:
    """The cosine of two short texts."""
    return sum(left * right for left, right in zip(_embedding(one), _embedding(other), strict=True))


def _embedding(text: str) -> tuple[float, ...]:
    with _lock:
        known: tuple[float, ...] | None = _parts.get(text)
    if known is None:
        known = tuple(embeddings.encode([text])[0])
        with _lock:
            _parts[text] = known
    return known


def _encoder_works() -> bool:
    """Load the encoder; where it is not installed L3 is off, and that is said once."""
    global _off
    try:
        embeddings.encode([])
    except ImportError as missing:
        _off = True
        log.warning("semantic_cache_off", reason=str(missing))
    return not _off
