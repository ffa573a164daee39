"""What one chunk of a LangChain stream says, in one shape for every provider: `Piece`.

Each provider tells numbers, the end and tool calls in places of its own; nobody above this file knows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "refusal"]

FINISH_REASONS: dict[str, FinishReason] = {  # all others mean a plain end
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "refusal",
    "refusal": "refusal",
}


MOST_TOKENS = 10**9


@dataclass(frozen=True)
class Piece:
    """A piece of an answer.

    tool_calls: whole ones only, {"id", "name", "args"}; tokens_in, tokens_out: None where not told (yet);
    finish_reason: None but in the last piece; cache_level: where an answer that was given before was found.
    """

    text: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    finish_reason: FinishReason | None = None
    model: str | None = None
    cache_level: str | None = None


def piece_of(chunk: Any) -> Piece:
    """What a chunk says by itself; its parts of tool calls are ToolCalls' to put together."""
    told = chunk.response_metadata
    usage = chunk.usage_metadata or {}
    return Piece(
        text=str(chunk.text),
        tokens_in=_count(usage.get("input_tokens") or told.get("prompt_eval_count")),
        tokens_out=_count(usage.get("output_tokens") or told.get("eval_count")),
        finish_reason=finish_reason(told),
        model=told.get("model_name"),
    )


def _count(told: Any) -> int | None:
    """A number of tokens, or None where it is none: no prompt and no answer has 0, and a server may tell nonsense."""
    return told if isinstance(told, int) and 0 < told <= MOST_TOKENS else None


def finish_reason(told: dict[str, Any]) -> FinishReason | None:
    """Why the model ended (OpenAI, Anthropic and Ollama each have a name for it), or None: it has not."""
    reason = told.get("finish_reason") or told.get("stop_reason") or told.get("done_reason")
    if reason is None:
        return "stop" if told.get("done") is True else None  # an Ollama that gives no reason
    return FINISH_REASONS.get(str(reason), "stop")


class ToolCalls:
    """Puts tool calls together from the parts in which they come.

    answer_tool: the tool whose input is the answer itself, where a provider has no other way to keep to a schema.
    """

    def __init__(self, answer_tool: str | None = None) -> None:
        self._answer_tool = answer_tool
        self._parts: dict[Any, dict[str, Any]] = {}

    def take(self, chunk: Any) -> str:
        """Keep a chunk's parts; returns the text that belongs to the answer's own tool."""
        text = ""
        for part in chunk.tool_call_chunks:
            key = part["index"] if part.get("index") is not None else f"whole {len(self._parts)}"
            call = self._parts.setdefault(key, {"id": None, "name": "", "args": ""})
            call["id"] = call["id"] or part.get("id")
            call["name"] = call["name"] or part.get("name") or ""
            call["args"] += part.get("args") or ""
            if self._answer_tool and call["name"] == self._answer_tool:
                text += part.get("args") or ""
        return text

    def complete(self) -> tuple[dict[str, Any], ...]:
        """The whole calls. ValueError where one has no name or its arguments are no JSON object."""
        calls = [call for call in self._parts.values() if call["name"] != self._answer_tool]
        return tuple({**call, "args": _arguments(call)} for call in calls)


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    arguments = json.loads(call["args"] or "{}")
    if not call["name"] or not isinstance(arguments, dict):
        raise ValueError("a tool call without a name or with arguments that are no object")
    return arguments
