"""What a provider's failure means for a node: try again (Retry), or never (Final)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from node import Final, Retry

AGAIN = {408, 409, 425, 429}  # and every 5xx
MAX_MESSAGE = 300


def node_error(error: Exception, backend: str) -> Retry | Final:
    """The node's exception for whatever a model library raised while it talked to `backend`.

    A refused request (400, 401, 403, 404, 422) is final with the code `model_refused_request`, `model_access_denied` or
    `model_not_found`; busy, broken, slow or garbled answers may pass, after the server's Retry-After where it gave one.
    """
    status = status_of(error)
    message = f"model {backend}: {first_line(error)}"
    if status is None or status in AGAIN or status >= 500:
        return Retry(message, after_seconds=retry_after_seconds(error))
    code = {401: "model_access_denied", 403: "model_access_denied", 404: "model_not_found"}
    return Final(message, code=code.get(status, "model_refused_request"))


def status_of(error: Exception) -> int | None:
    """The HTTP status that the error carries, or None for one that came before any answer."""
    status = getattr(error, "status_code", None)
    return status if isinstance(status, int) and status >= 100 else None


def retry_after_seconds(error: Exception) -> float | None:
    """The server's Retry-After, as seconds or as a date, or None."""
    response: Any = getattr(error, "response", None)
    said = getattr(response, "headers", {}).get("retry-after")
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
    text = str(error) or str(error.__cause__ or "") or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= MAX_MESSAGE else line[: MAX_MESSAGE - 1] + "…"
