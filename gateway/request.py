"""What one call asks of the gateway, and for whom. Imports nothing of ours but the names of capabilities."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import UUID

from gateway.backend import CHAT

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Operation: TypeAlias = Literal["chat", "embed"]
Quality: TypeAlias = Literal["any", "high"]
CacheUse: TypeAlias = Literal["none", "exact", "semantic"]

ANSWER_TOKENS = 2048  # reserved, and sent as the limit, where the caller names none
TOKENS_A_MESSAGE = 4
LETTERS = re.compile(r"[A-Za-z\s]")
ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Caller:
    """For whom a call is made: rows, caches and budgets are kept apart by tenant and clearance.

    clearance, policy_version: an answer from the cache is never shown across either of them.
    """

    tenant_id: UUID
    run_id: UUID | None = None
    step: str | None = None
    chain: str = ""
    agent_id: str = ""
    clearance: str = ""
    policy_version: str = ""


@dataclass(frozen=True)
class Ask:
    """One request, before anybody knows which model will answer.

    messages: {"role", "content"} objects; tools: OpenAI's form of function tools; schema: a JSON schema that the answer
    must keep to; quality "high" is never given to a small model first; cache: whether an earlier answer will do.
    """

    messages: Messages
    operation: Operation = "chat"
    language: str = "en"
    capability: str = CHAT
    quality: Quality = "any"
    tools: Sequence[Mapping[str, Any]] = ()
    schema: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    prompt_version: str = ""
    cache: CacheUse = "none"
    cache_seconds: float = 3600.0
    tokens_in: int = field(init=False)

    def __post_init__(self) -> None:
        tokens = sum(TOKENS_A_MESSAGE + estimated_tokens(text_of(message)) for message in self.messages)
        for extra in (self.tools, self.schema):
            tokens += estimated_tokens(json.dumps(extra, ensure_ascii=False)) if extra else 0
        object.__setattr__(self, "tokens_in", tokens)

    @property
    def longest_tokens(self) -> int:
        """Of its longest message alone: embeddings are made one by one."""
        return max((estimated_tokens(text_of(message)) for message in self.messages), default=0)

    @property
    def answer_tokens(self) -> int:
        """At most so many tokens are answered."""
        return self.max_tokens or ANSWER_TOKENS


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says, as text."""
    content = message.get("content", "")
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many.

    A third of a token a letter or space, one for each other sign and each Chinese character, three for an emoji. Used
    for what is reserved before a call and where a provider tells no numbers. Tokenizers of 2024 and later make 0.6 to
    1.0 tokens of a Chinese character, 0.2 to 0.3 of a letter of English prose, and up to one of a digit.
    """
    letters, astral = len(LETTERS.findall(text)), len(ASTRAL.findall(text))
    return math.ceil(letters / 3) + len(text) - letters + 2 * astral
