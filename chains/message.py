"""What a Celery message says: which step of which run to execute, or which slot of beat fires, and a signature over it.

Celery's own `auth` serializer does not sign the header that names the task, so the signature covers the task's name
too. The task id is a pure function of the step and its attempt: the same execution always has the same id. A message
that is sent again is genuine and does nothing: the claim refuses a step that has moved on, and a slot runs once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid5

from settings import SettingsError, settings

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


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of beat's schedule: `task` is maintenance that is due at `fire_at` (aware)."""

    fire_at: datetime
    task: str

    def kwargs(self) -> dict[str, Any]:
        """The task's keyword arguments, JSON-able, signature included."""
        fire_at = self.fire_at.isoformat()
        return {"fire_at": fire_at, "sig": _digest(f"slot|{fire_at}|{self.task}")}


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
    _compare(signature, _sign(task, kwargs))
    return said


def read_slot(task: str, kwargs: dict[str, Any]) -> Slot:
    """The slot for which a task called `task` was sent with these arguments. Raises ForgedMessage."""
    try:
        said, signature = Slot(datetime.fromisoformat(kwargs["fire_at"]), task), str(kwargs["sig"])
    except (KeyError, TypeError, ValueError) as wrong:
        raise ForgedMessage(f"not a slot of ours: {wrong}") from wrong
    _compare(signature, str(said.kwargs()["sig"]))
    return said


def shown(kwargs: Mapping[str, Any]) -> str:
    """The arguments as Flower, events and logs may show them: ids and numbers, never the signature."""
    return repr({name: value for name, value in kwargs.items() if name != "sig"})


def task_id(run_id: UUID, step_key: str, attempt: int) -> str:
    """The idempotent Celery task id: uuid5(run, step key, attempt)."""
    return str(uuid5(run_id, f"{step_key}@{attempt}"))


def _sign(task: str, kwargs: dict[str, Any]) -> str:
    """Over the arguments as the message writes them."""
    said = "|".join(str(kwargs[name]) for name in ("tenant", "run", "segment", "pos", "attempt"))
    return _digest(f"{said}|{task}")


def _digest(said: str) -> str:
    digest = hashlib.blake2b(said.encode(), key=_key(), digest_size=_SIGNATURE_BYTES).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _compare(signature: str, expected: str) -> None:
    if not hmac.compare_digest(signature.encode(errors="replace"), expected.encode()):
        raise ForgedMessage("the signature does not fit")


@cache
def _key() -> bytes:
    """A key of its own for messages, so that the secret itself signs only key derivations.

    Raises SettingsError where there is no secret: then anybody could sign.
    """
    secret = settings().secret.get_secret_value()
    if not secret:
        raise SettingsError("BATON_SECRET is not set: messages cannot be signed or checked without it")
    return hashlib.sha256(b"baton-message|" + secret.encode()).digest()
