"""API keys: `bt_...` -> the principal that it opens for, at most five seconds old.

A user's key has what the user may, a service's key what its own roles give; scopes cut both down.
"""

from __future__ import annotations

from identity.principal import Principal, principal_of
from storage import standing
from storage.remembered import Remembered
from storage.tenants import KEY_PATTERN, key_hash


def authenticate(key: str) -> Principal | None:
    """The principal of a key; None: unknown, revoked, expired, its user disabled or its tenant suspended."""
    return by_hash(key_hash(key)) if KEY_PATTERN.fullmatch(key) else None


def by_hash(hashed: bytes) -> Principal | None:
    """The same, by the key's hash."""
    return _known.of(hashed)


def forget() -> None:
    """Look at every key anew: this process has just changed one."""
    _known.forget()


def _look_up(hashed: bytes) -> Principal | None:
    found = standing.of_key(hashed)
    return None if found is None else principal_of(found)


_known = Remembered(_look_up)
