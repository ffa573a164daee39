"""Makes entries of the record: who did what to what, with everything personal masked before it is stored.

`storage/audit.py` writes them in the transaction of the change. The record can never be changed, so it holds nothing
that a person may ask to have forgotten: what somebody typed, and whom an erasure is about, is a keyed hash in it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from policy.pii.mask import masked_value
from settings import SettingsError, settings
from storage.audit import Entry

Json = Any
DEEPEST = 20


def entry(
    actor: str,
    action: str,
    resource: str,
    *,
    before: Json = None,
    after: Json = None,
    source: str | None = None,
    trace_id: str | None = None,
) -> Entry:
    """An entry whose `before` and `after` (JSON-able) are masked."""
    return Entry(actor, action, resource, masked_value(before), masked_value(after), source, trace_id)


def fingerprint(value: str) -> str:
    """A keyed hash of what must not stand in the record: equal for equal values, and telling nothing without the key.

    `hmac-sha256:` and 64 hex digits, under BATON_SECRET. Raises SettingsError where there is none.
    """
    secret = settings().secret.get_secret_value()
    if not secret:
        raise SettingsError("BATON_SECRET is not set: nothing can be recorded under a keyed hash without it")
    return "hmac-sha256:" + hmac.new(secret.encode(), b"baton audit: " + value.encode(), hashlib.sha256).hexdigest()


def without_text(value: Json, depth: int = 0) -> Json:
    """What somebody answered, for the record: yes, no and numbers as they are, each text as its keyed hash."""
    if isinstance(value, str) or depth > DEEPEST:
        return fingerprint(str(value))
    if isinstance(value, Mapping):
        return {str(key): without_text(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_text(inner, depth + 1) for inner in value]
    return value
