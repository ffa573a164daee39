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


class LimitReached(BatonError):
    """A limit of this tenant is reached; try again later."""

    status, code = 429, "rate_limited"

    def __init__(self, reason: str, retry_after_seconds: float, message: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class TooManyWaiting(BatonError):
    """Too many of the tenant's runs wait for a free slot already."""

    status, code = 429, "rate_limited"
    reason = "waiting"
    retry_after_seconds = 5.0

    def __init__(self, bound: int) -> None:
        super().__init__(f"{bound} runs of this tenant wait for a free slot already: no more are taken for now.")


class AlreadyExists(BatonError):
    """There is one with this name or key already."""

    status, code = 409, "already_exists"


class Forbidden(BatonError):
    """You may not do this."""

    status, code = 403, "forbidden"


class LastOwner(BatonError):
    """This would leave the tenant without an active owner: make another one first."""

    status, code = 409, "last_owner"


class OwnTenant(BatonError):
    """This is the installation's own tenant: it cannot be suspended."""

    status, code = 409, "own_tenant"


class KeyEnded(BatonError):
    """This key was revoked, has expired or is replaced already."""

    status, code = 409, "key_ended"


class LoginNotVerified(BatonError):
    """This login could not be verified: start it again."""

    status, code = 401, "oidc_login_failed"


class ProviderAway(BatonError):
    """The tenant's login provider does not answer as it should; try again later."""

    status, code = 503, "oidc_provider_unavailable"


class InvalidCredentials(BatonError):
    """These credentials are not valid."""

    status, code = 401, "invalid_credentials"


class LoginLocked(BatonError):
    """Too many logins failed under this name or from this address; try again later."""

    status, code = 429, "login_locked"
    reason = "login_locked"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class NoLogin(BatonError):
    """This call belongs to a login: send an access token, not an API key."""

    status, code = 409, "no_login"


class TooBusy(BatonError):
    """Too many are being served at this moment; try again in some seconds."""

    status, code = 503, "too_busy"
