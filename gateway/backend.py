"""What a backend is: one model behind one address, and what it is able to do. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["openai", "vllm", "ollama", "anthropic", "embedded"]

EMBEDDED_MODEL = "smollm2-135m-instruct"

# Families whose models know Chinese as well, by how their names begin; any other is believed to know English only.
CHINESE_TOO = (
    "qwen",
    "qwq",
    "glm",
    "chatglm",
    "deepseek",
    "yi",
    "internlm",
    "minicpm",
    "baichuan",
    "gemma",
    "hunyuan",
    "gpt",
    "claude",
)
NOT_FOR_CHAT = ("embed", "bge-", "all-minilm", "rerank", "e5-")

CHAT, EMBEDDING = "chat", "embedding"
CHAT_TOO = frozenset({CHAT, "general_chat"})  # the documents' name for it


@dataclass(frozen=True)
class Backend:
    """One model.

    name: how logs and outputs call it; kind: which protocol it speaks; endpoint: its base URL; languages: codes such as
    "zh"; capabilities: what it is good for, () for everything but embedding; weak: good for a sentence, not for a page:
    callers keep prompts tiny and check what comes; small: preferred for simple requests; price_in, price_out: money for
    1,000 tokens; context_tokens: prompt and answer together; first_token_seconds: silence, at first or in the middle,
    after which the next backend is asked; timeout_seconds: the whole answer; retries: further tries at this backend.
    """

    name: str
    kind: Kind
    endpoint: str
    model: str
    languages: tuple[str, ...] = ("en",)
    capabilities: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    weak: bool = False
    small: bool = False
    price_in: Decimal = Decimal(0)
    price_out: Decimal = Decimal(0)
    context_tokens: int = 8192
    connect_seconds: float = 2.0
    first_token_seconds: float = 10.0
    timeout_seconds: float = 60.0
    retries: int = 1

    def is_able(self, language: str, capability: str = CHAT) -> bool:
        """Whether it knows the language and has the capability."""
        if capability == EMBEDDING:
            return EMBEDDING in self.capabilities
        if language not in self.languages:
            return False
        if not self.capabilities:
            return True
        wanted = CHAT_TOO if capability in CHAT_TOO else {capability}
        return not wanted.isdisjoint(self.capabilities)

    def price(self, tokens_in: int, tokens_out: int) -> Decimal:
        """What a call of so many tokens costs."""
        return (self.price_in * tokens_in + self.price_out * tokens_out) / 1000


def languages_by_name(model: str) -> tuple[str, ...]:
    """The languages that a model is believed to know, by its name."""
    plain = model.rsplit("/", 1)[-1].lower()
    return ("zh", "en") if plain.startswith(CHINESE_TOO) else ("en",)


def is_for_chat(model: str) -> bool:
    """False for models that only embed or rank."""
    return not any(part in model.lower() for part in NOT_FOR_CHAT)
