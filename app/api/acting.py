"""Who makes this request, for what is changed and recorded in their name."""

from __future__ import annotations

from app import auth
from identity.acting import Acting


def acting() -> Acting:
    """The one who makes this request, and how what they change is recorded."""
    return Acting(auth.principal(), auth.audit)
