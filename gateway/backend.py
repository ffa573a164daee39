"""What a backend is: one model behind one address, and what it is able to do. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["openai", "vllm", "ollama", "embedded"]

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


@dataclass(frozen=True)
class Backend:
    """One model.

    name: how logs and outputs call it; kind: which protocol it speaks; endpoint: its base URL; languages: codes such as
    "zh"; weak: good for a sentence, not for a page: callers keep prompts tiny and check what comes.
    """

    name: str
    kind: Kind
    endpoint: str
    model: str
    languages: tuple[str, ...] = ("en",)
    capabilities: tuple[str, ...] = ("chat",)
    api_key: str | None = field(default=None, repr=False)
    weak: bool = False
    timeout_seconds: float = 60.0

    def is_able(self, language: str, capability: str) -> bool:
        """Whether it knows the language and has the capability; a backend without capabilities has all of them."""
        return language in self.languages and (not self.capabilities or capability in self.capabilities)


def languages_by_name(model: str) -> tuple[str, ...]:
    """The languages that a model is believed to know, by its name."""
    plain = model.rsplit("/", 1)[-1].lower()
    return ("zh", "en") if plain.startswith(CHINESE_TOO) else ("en",)


def is_for_chat(model: str) -> bool:
    """False for models that only embed or rank."""
    return not any(part in model.lower() for part in NOT_FOR_CHAT)
