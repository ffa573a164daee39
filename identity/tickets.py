"""Tickets: what a browser puts into the address of a WebSocket or an EventSource, as it can send no header there.

An address is logged by every proxy on the way, so a ticket opens one stream, once, within 30 seconds, to read only. It
stands for the key or the login that made it, looked at anew when it is used.
"""

from __future__ import annotations

import re
import secrets as random
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from identity import access_tokens, keys, secrets
from identity.access_tokens import Login
from identity.principal import Principal
from storage import one_time_tokens

LIFE = timedelta(seconds=30)
MAY = frozenset({"runs:read"})
PATTERN = re.compile(r"bk_[A-Za-z0-9_-]{43}")

Proof = bytes | Login  # how somebody came in: an API key's hash, or a login


def issue(tenant_id: UUID, proof: Proof, now: datetime, run_id: UUID | None = None) -> str:
    """A ticket of whoever came in with `proof`; run_id: the only run that it opens."""
    ticket = "bk_" + random.token_urlsafe(32)
    data: dict[str, str | None] = {"run_id": str(run_id) if run_id else None}
    if isinstance(proof, Login):
        data |= {"user_id": str(proof.user_id), "family": str(proof.family)}
    else:
        data["key"] = proof.hex()
    one_time_tokens.add(secrets.hashed("ticket", ticket), tenant_id, "ticket", data, now + LIFE)
    return ticket


def redeem(ticket: str, run_id: UUID, now: datetime) -> Principal | None:
    """Who made the ticket, cut down to looking at runs; it is used up. None: no ticket, or not for this run."""
    if not PATTERN.fullmatch(ticket):
        return None
    taken = one_time_tokens.take(secrets.hashed("ticket", ticket), "ticket", now)
    if taken is None or taken.data["run_id"] not in (None, str(run_id)):
        return None
    if "key" in taken.data:
        found = keys.by_hash(bytes.fromhex(taken.data["key"]))
    else:
        found = access_tokens.principal(Login(taken.tenant_id, UUID(taken.data["user_id"]), UUID(taken.data["family"])))
    return None if found is None else replace(found, permissions=found.permissions & MAY)
