"""How OpenAI's, Ollama's and Anthropic's servers write one answer, as the bytes of a stream; pure functions.

The answer is a function of the request, so that a wrong or spliced one is told from the right one: `echo(messages)` is
"echo:" and a digest of the last message, and `tokens(text)` is a token for every four letters.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any, Literal

Protocol = Literal["openai", "ollama", "anthropic"]
PATHS: dict[str, Protocol] = {
    "/v1/chat/completions": "openai",
    "/api/chat": "ollama",
    "/v1/messages": "anthropic",
}
CONTENT_TYPES = {"openai": "text/event-stream", "ollama": "application/x-ndjson", "anthropic": "text/event-stream"}
REFUSALS = {"openai": "content_filter", "ollama": "stop", "anthropic": "refusal"}  # Ollama has no word for it


@dataclass(frozen=True)
class Answer:
    """What is to be said: a text, or a call of the tool `tool` with `text` as its arguments."""

    model: str
    text: str
    tokens_in: int
    tokens_out: int
    tool: str | None = None
    refused: bool = False


def echo(text: str) -> str:
    """The right answer to a last message of this text."""
    return f"echo:{hashlib.sha256(text.encode()).hexdigest()}"


def tokens(text: str) -> int:
    """The tokens of a text, by our own count."""
    return len(text) // 4 + 1


def content(message: dict[str, Any]) -> str:
    """What a message says, in whichever of the forms the libraries send."""
    said = message.get("content") or ""
    return said if isinstance(said, str) else "".join(block.get("text", "") for block in said)


def answer_to(protocol: Protocol, asked: dict[str, Any], said: str | None, *, refused: bool = False) -> Answer:
    """The answer to a request: `said`, or by default the echo, as JSON or as a tool call where that is asked for."""
    text = said if said is not None else echo(content(asked["messages"][-1]))
    tool = tool_of(protocol, asked)
    if said is None and (tool or wants_json(protocol, asked)):
        text = json.dumps({"echo": text})
    system = [{"content": asked["system"]}] if "system" in asked else []  # Anthropic's stands by itself
    tokens_in = sum(tokens(content(message)) for message in [*system, *asked["messages"]])
    return Answer(asked["model"], text, tokens_in, tokens(text), tool, refused)


def tool_of(protocol: Protocol, asked: dict[str, Any]) -> str | None:
    """The tool that is called: the one that must be, else the first."""
    tools = asked.get("tools")
    if not tools:
        return None
    if protocol != "anthropic":
        return str(tools[0]["function"]["name"])
    return str(asked.get("tool_choice", {}).get("name") or tools[0]["name"])


def wants_json(protocol: Protocol, asked: dict[str, Any]) -> bool:
    """Whether an answer that keeps to a schema is asked for."""
    return bool(asked.get("format" if protocol == "ollama" else "response_format"))


def pieces(text: str) -> list[str]:
    """A text as a model streams it: a few letters at a time."""
    return [text[at : at + 6] for at in range(0, len(text), 6)]


def events(protocol: Protocol, answer: Answer) -> list[bytes]:
    """The whole stream, event by event."""
    return {"openai": openai_events, "ollama": ollama_events, "anthropic": anthropic_events}[protocol](answer)


def end_of(protocol: Protocol, whole: list[bytes]) -> int:
    """The number of the first event after the answer's end was told; OpenAI's numbers come later."""
    return len(whole) - {"openai": 2, "ollama": 0, "anthropic": 1}[protocol]


def openai_events(answer: Answer) -> list[bytes]:
    """Server-sent events, the numbers in one after the end, and [DONE]."""

    def event(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        common = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": answer.model}
        return b"data: " + json.dumps({**common, "choices": choices, **more}).encode() + b"\n\n"

    def call(**function: str) -> dict[str, Any]:
        first = {"id": "call_1", "type": "function"} if "name" in function else {}
        return {"tool_calls": [{"index": 0, **first, "function": function}]}

    said = [event({"role": "assistant", "content": None if answer.tool else ""})]
    if answer.tool:
        said += [event(call(name=answer.tool, arguments=""))]
        said += [event(call(arguments=piece)) for piece in pieces(answer.text)]
    else:
        said += [event({"content": piece}) for piece in pieces(answer.text)]
    reason = REFUSALS["openai"] if answer.refused else "tool_calls" if answer.tool else "stop"
    total = answer.tokens_in + answer.tokens_out
    usage = {"prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out, "total_tokens": total}
    return [*said, event({}, reason), event(None, usage=usage), b"data: [DONE]\n\n"]


def openai_whole(answer: Answer) -> dict[str, Any]:
    """The same answer to a request that wants no stream."""
    message = {"role": "assistant", "content": answer.text}
    total = answer.tokens_in + answer.tokens_out
    usage = {"prompt_tokens": answer.tokens_in, "completion_tokens": answer.tokens_out, "total_tokens": total}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    common = {"id": "c1", "object": "chat.completion", "created": 1, "model": answer.model}
    return {**common, "choices": [choice], "usage": usage}


def ollama_events(answer: Answer) -> list[bytes]:
    """One JSON object a line, the last one done."""

    def line(message: dict[str, Any], **more: Any) -> bytes:
        common = {"model": answer.model, "created_at": "2026-11-20T00:00:00Z"}
        said = {"role": "assistant", "content": "", **message}
        return json.dumps({**common, "message": said, "done": False, **more}).encode() + b"\n"

    if answer.tool:
        said = [line({"tool_calls": [{"function": {"name": answer.tool, "arguments": json.loads(answer.text)}}]})]
    else:
        said = [line({"content": piece}) for piece in pieces(answer.text)]
    numbers = {"prompt_eval_count": answer.tokens_in, "eval_count": answer.tokens_out}
    return [*said, line({}, done=True, done_reason=REFUSALS["ollama"] if answer.refused else "stop", **numbers)]


def anthropic_events(answer: Answer) -> list[bytes]:
    """Named server-sent events around one block of content."""

    def event(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    usage = {"input_tokens": answer.tokens_in, "output_tokens": 1}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": answer.model, "content": []}
    block = {"type": "text", "text": ""}
    if answer.tool:
        block = {"type": "tool_use", "id": "call_1", "name": answer.tool, "input": {}}  # type: ignore[dict-item]
    kind, name = ("input_json_delta", "partial_json") if answer.tool else ("text_delta", "text")
    reason = REFUSALS["anthropic"] if answer.refused else "tool_use" if answer.tool else "end_turn"
    return [
        event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage}),
        event("content_block_start", index=0, content_block=block),
        *[event("content_block_delta", index=0, delta={"type": kind, name: piece}) for piece in pieces(answer.text)],
        event("content_block_stop", index=0),
        event(
            "message_delta",
            delta={"stop_reason": reason, "stop_sequence": None},
            usage={"input_tokens": answer.tokens_in, "output_tokens": answer.tokens_out},
        ),
        event("message_stop"),
    ]


def error_body(protocol: Protocol, message: str, kind: str) -> dict[str, Any]:
    """An error as the protocol writes it."""
    if protocol == "ollama":
        return {"error": message}
    error = {"message": message, "type": kind, "code": kind}
    return {"type": "error", "error": error} if protocol == "anthropic" else {"error": error}


def error_event(protocol: Protocol, message: str, kind: str) -> bytes:
    """An error in the middle of a stream that began well."""
    body = json.dumps(error_body(protocol, message, kind))
    if protocol == "ollama":
        return f"{body}\n".encode()
    return f"event: error\ndata: {body}\n\n".encode() if protocol == "anthropic" else f"data: {body}\n\n".encode()


def vector(text: str) -> list[float]:
    """Eight numbers that are a function of the text."""
    return [byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def embeddings(path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer of an embedding endpoint, OpenAI's or Ollama's."""
    texts = [asked["input"]] if isinstance(asked["input"], str) else asked["input"]
    vectors = [vector(str(text)) for text in texts]
    numbers = sum(tokens(str(text)) for text in texts)
    if path == "/api/embed":
        return {"model": asked["model"], "embeddings": vectors, "prompt_eval_count": numbers}
    packed = asked.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(one) if packed else one}
        for index, one in enumerate(vectors)
    ]
    usage = {"prompt_tokens": numbers, "total_tokens": numbers}
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def _packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
