"""What a Celery message says: which step of which run to execute, and a signature over exactly that.

Celery's own `auth` serializer does not sign the header that names the task, so the signature covers the task's name
too. The task id is a pure function of the step and its attempt: the same execution always has the same id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid5

from settings import settings

_SIGNATURE_BYTES = 16


class ForgedMessage(Exception):
    """The message is not ours, or not in its place."""


@dataclass(frozen=True, slots=True)
class Message:
    """One execution: position `pos` of segment `segment`, the attempt-th one; `task` is the node's name."""

    tenant: UUID
    run: UUID
    segment: int
    pos: int
    attempt: int
    task: str

    def kwargs(self) -> dict[str, Any]:
        """The task's keyword arguments, JSON-able, signature included."""
        said = {
            "run": str(self.run),
            "tenant": str(self.tenant),
            "segment": self.segment,
            "pos": self.pos,
            "attempt": self.attempt,
        }
        return {**said, "sig": _sign(self.task, said)}


def read(task: str, kwargs: dict[str, Any]) -> Message:
    """The message of a task called `task` with these arguments. Raises ForgedMessage."""
    try:
        said = Message(
            UUID(kwargs["tenant"]),
            UUID(kwargs["run"]),
            int(kwargs["segment"]),
            int(kwargs["pos"]),
            int(kwargs["attempt"]),
            task,
        )
        signature = str(kwargs["sig"])
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise ForgedMessage(f"not a message of ours: {wrong}") from wrong
    if not hmac.compare_digest(signature.encode(), _sign(task, kwargs).encode()):
        raise ForgedMessage("the signature does not fit")
    return said


def task_id(run_id: UUID, step_key: str, attempt: int) -> str:
    """The idempotent Celery task id: uuid5(run, step key, attempt)."""
    return str(uuid5(run_id, f"{step_key}@{attempt}"))


def _sign(task: str, kwargs: dict[str, Any]) -> str:
    """Over the arguments as the message writes them."""
    said = "|".join(str(kwargs[name]) for name in ("tenant", "run", "segment", "pos", "attempt"))
    digest = hashlib.blake2b(f"{said}|{task}".encode(), key=_key(), digest_size=_SIGNATURE_BYTES).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@cache
def _key() -> bytes:
    """A key of its own for messages, so that the secret itself signs only key derivations."""
    return hashlib.sha256(b"baton-message|" + settings().secret.get_secret_value().encode()).digest()
