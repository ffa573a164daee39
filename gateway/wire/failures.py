"""What went wrong when a model was called, in one shape for every provider and library: `Failed`.

kind                 what happened                                               try it again   ask another backend
refused_connection   nobody listens, or hung up before a word was said           yes            yes
timeout              silence for too long, or the whole answer took too long     yes            yes
rate_limited         429, with the server's Retry-After where it gave one        yes            yes
server_error         5xx, or an error in the middle of the answer                yes            yes
garbled              an answer that breaks off, or is not in the protocol        yes            yes
unstructured         no JSON of the schema, after two repairs                 no             yes
empty                a whole answer without any text or tool call                yes            yes
refusal              the model or its filter did not want to answer              no             yes
refused_request      400, 413, 422: perhaps only this backend's limits           no             yes (no: wrong messages)
access_denied        401, 403                                                    no             yes
not_found            404: no such model there                                    no             yes
too_large            more bytes than any answer needs                            no             yes
misconfigured        the provider's library refuses the backend's settings       no             yes

A message holds no key and no part of a prompt: errors go to logs and to the run's events, and providers quote both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from gateway.backend import Backend
from gateway.wire.watch import TooLarge
from node import Final, Retry

FailureKind: TypeAlias = Literal[
    "refused_connection",
    "timeout",
    "rate_limited",
    "server_error",
    "garbled",
    "unstructured",
    "empty",
    "refusal",
    "refused_request",
    "access_denied",
    "not_found",
    "too_large",
    "misconfigured",
]

PASSING: frozenset[FailureKind] = frozenset(
    {"refused_connection", "timeout", "rate_limited", "server_error", "garbled", "empty"}
)
CODES: dict[FailureKind, str] = {
    "refusal": "model_refused",
    "refused_request": "model_refused_request",
    "access_denied": "model_access_denied",
    "not_found": "model_not_found",
    "too_large": "model_answer_too_large",
    "misconfigured": "model_misconfigured",
}
STATUS_KINDS: dict[int, FailureKind] = {
    401: "access_denied",
    403: "access_denied",
    404: "not_found",
    408: "timeout",
    409: "server_error",
    425: "server_error",
    429: "rate_limited",
}
ERROR_TYPES: dict[str, FailureKind] = {  # how an error in the middle of an answer calls itself (Anthropic, OpenAI)
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "invalid_request_error": "refused_request",
    "authentication_error": "access_denied",
    "permission_error": "access_denied",
    "not_found_error": "not_found",
    "content_filter": "refusal",
}
NO_MORE_TODAY = "insufficient_quota"  # OpenAI's 429 that no waiting helps
TIMEOUTS = ("Timeout",)
NOBODY = ("ConnectError", "ConnectTimeout", "ConnectionRefusedError", "UnsupportedProtocol")
HUNG_UP = ("ReadError", "WriteError", "RemoteProtocolError", "ConnectionError", "APIConnectionError")

MAX_MESSAGE = 200
MAX_CAUSES = 8
QUOTE = 12  # so many characters in a row that also stand in the prompt are a quote of it
KEYS = re.compile(  # known beginnings, what is named a key, and what is long and random enough to be one
    r"\b(?:sk|pk|rk)[-_][\w.*-]{4,}|\bbearer\s+\S{4,}|(?:key|token|secret)\s*[:=]\s*\S{4,}|\b(?=\w*\d)\w{24,}\b",
    re.IGNORECASE,
)


class Failed(Exception):
    """One call of one backend failed.

    passing: worth another try at this backend, after `retry_after_seconds` where the server said so;
    elsewhere: worth another backend.
    """

    def __init__(
        self,
        backend: str,
        kind: FailureKind,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        passing: bool | None = None,
        elsewhere: bool = True,
    ) -> None:
        super().__init__(f"model {backend}: {message}")
        self.backend = backend
        self.kind: FailureKind = kind
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.passing = kind in PASSING if passing is None else passing
        self.elsewhere = elsewhere


def failed(error: Exception, backend: Backend, *, prompt: Iterable[str] = (), begun: bool = False) -> Failed:
    """What a model library raised, as a Failed.

    prompt: the texts that no message may quote; begun: something of the answer had come.
    """
    if isinstance(error, Failed):
        return error
    kind = _kind(error, begun=begun)
    message = _without_secrets(first_line(error), backend, prompt)
    if kind == "access_denied":
        message = "the key was refused"  # providers quote parts of it
    return Failed(
        backend.name,
        kind,
        f"{kind.replace('_', ' ')}: {message}",
        retry_after_seconds=retry_after_seconds(error),
        passing=False if kind == "rate_limited" and NO_MORE_TODAY in error_types(error) else None,
    )


def as_node_error(failure: Failed) -> Retry | Final:
    """The node's exception for a failure that no other backend could make good."""
    if failure.passing:
        return Retry(str(failure), after_seconds=failure.retry_after_seconds)
    return Final(str(failure), code=CODES.get(failure.kind, "model_failed"))


def _kind(error: Exception, *, begun: bool) -> FailureKind:
    causes = tuple(_causes(error))
    if any(isinstance(cause, TooLarge) for cause in causes):
        return "too_large"
    status = status_of(error)
    if status is not None:
        return _kind_of_status(status, error)
    if _is_one(causes, NOBODY):
        return "refused_connection"
    if _is_one(causes, TIMEOUTS):
        return "timeout"
    if _is_one(causes, HUNG_UP):
        return "garbled" if begun else "refused_connection"
    # An error event in a stream that began well (OpenAI's APIError, Ollama's ResponseError); all else is no protocol.
    return "server_error" if _is_one(causes, ("APIError", "ResponseError")) else "garbled"


def _kind_of_status(status: int, error: Exception) -> FailureKind:
    told = error_types(error)
    if 300 <= status < 400:
        return "misconfigured"  # a redirect: nobody follows it with a key in hand
    if status < 300:  # an error event in an answer that had begun well
        return next((ERROR_TYPES[one] for one in told if one in ERROR_TYPES), "server_error")
    if status >= 500:
        return "server_error"
    if "content_filter" in told:
        return "refusal"
    return STATUS_KINDS.get(status, "refused_request")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what lies behind it, as far as eight deep."""
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_one(causes: Iterable[BaseException], names: tuple[str, ...]) -> bool:
    """By names: httpx, httpx2 and the providers' libraries call alike what is alike, and are imported late."""
    return any(kind.__name__.endswith(names) for cause in causes for kind in type(cause).__mro__)


def status_of(error: Exception) -> int | None:
    """The HTTP status that the error carries, or None for one that came before any answer."""
    for cause in _causes(error):
        status = getattr(cause, "status_code", None)
        if isinstance(status, int) and status >= 100:
            return status
    return None


def error_types(error: Exception) -> tuple[str, ...]:
    """The type and the code under which the server's own body names the error."""
    body: Any = getattr(error, "body", None)
    told = body.get("error", body) if isinstance(body, dict) else None
    return tuple(str(told.get(name)) for name in ("type", "code")) if isinstance(told, dict) else ()


def retry_after_seconds(error: Exception) -> float | None:
    """The server's Retry-After, as seconds or as a date, or None."""
    # Ollama's own error has no headers, but the one behind it has.
    answers = (getattr(cause, "response", None) for cause in _causes(error))
    said = next((answer.headers.get("retry-after") for answer in answers if answer is not None), None)
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def first_line(error: Exception) -> str:
    """What the error says, in one short line, its cause where it says nothing itself."""
    text = str(error).strip() or str(error.__cause__ or "").strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"


def _without_secrets(line: str, backend: Backend, prompt: Iterable[str]) -> str:
    if backend.api_key:
        line = line.replace(backend.api_key, "***")
    line = KEYS.sub("***", line)
    grams = {line[at : at + QUOTE] for at in range(len(line) - QUOTE + 1)}
    if any(gram in text for text in prompt for gram in grams):
        return "its message quotes the prompt"
    return line
