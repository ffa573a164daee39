"""Every error that a client may see: one tree, a stable machine code each, the docstring is the default message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One wrong field: its dotted path in the request, and what is wrong with it."""

    field: str
    message: str


class BatonError(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str | None = None, *, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(message or (self.__doc__ or "").split("\n")[0])
        self.errors = list(errors)


class InvalidInput(BatonError):
    """The request has fields that are wrong."""

    status, code = 422, "invalid_input"


class IdempotencyConflict(BatonError):
    """This idempotency key was used with another request."""

    status, code = 422, "idempotency_conflict"


class UnknownChain(BatonError):
    """There is no chain of this name."""

    status, code = 422, "unknown_chain"


class UnknownVersion(BatonError):
    """This version of the chain is not in the code any more; `manage.py doctor` moves its runs."""

    status, code = 409, "unknown_chain_version"


class NotFound(BatonError):
    """There is nothing here."""

    status, code = 404, "not_found"


class SessionBusy(BatonError):
    """Another run is changing this session."""

    status, code = 409, "session_busy"


class WrongState(BatonError):
    """The run's status does not allow this."""

    status, code = 409, "wrong_state"


class AmbiguousAnswer(BatonError):
    """Several steps wait for an answer: name one of them in `step`."""

    status, code = 409, "ambiguous_answer"


class AlreadyAnswered(BatonError):
    """This step was answered with something else."""

    status, code = 409, "already_answered"


class AlreadyExists(BatonError):
    """There is one with this name or key already."""

    status, code = 409, "already_exists"
