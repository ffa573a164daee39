"""The key pairs that sign access tokens (RS256): made at first need, rotated every month, shown as a JWKS.

A new pair is shown for OVERLAP before it signs, so that whoever keeps the JWKS for its five minutes knows it in time;
the old one is shown until the last token that it signed has expired. Private keys lie in the database as PKCS 8,
encrypted under BATON_SECRET. A process knows the keys for a minute. A `kid` that it does not know makes it look again,
once in RELOAD_SECONDS: made-up ones cost the database nothing more.
"""

from __future__ import annotations

import re
import secrets as random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import RSAKey

from identity import secrets
from identity.off_loop import off_loop
from settings import settings
from storage import signing_keys
from storage.signing_keys import KeyRow

log = structlog.get_logger(__name__)

KEY_BITS = 2048
TOKEN_LIFE = timedelta(minutes=15)
OVERLAP = timedelta(minutes=10)
MARGIN = timedelta(minutes=2)  # clocks, and what a process has still in its cache
KEPT_SECONDS = 60.0
RELOAD_SECONDS = 5.0
KID = re.compile(r"[A-Za-z0-9_-]{16}")

_KIND = "signing key"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Ring:
    """The keys as they were at `loaded_at` (monotonic): public ones by kid, and those that we can sign with."""

    loaded_at: float
    rows: tuple[KeyRow, ...]
    public: dict[str, RSAKey]
    private: dict[str, RSAKey]


_ring: Ring | None = None
_failed: tuple[float, Exception] | None = None  # when the last look failed, and how
_loading = threading.Lock()


def signer(now: datetime) -> tuple[str, RSAKey]:
    """(kid, private key) of the newest pair whose time has come; makes the first one."""
    for attempt in range(3):
        ring = _current(fresh=attempt > 0)
        if ours := [row for row in ring.rows if row.kid in ring.private]:
            # where none's time has come, a host whose clock is ahead of ours has just made the first one
            row = next((row for row in reversed(ours) if row.signs_from <= now), ours[0])
            return row.kid, ring.private[row.kid]
        # none at all, or none that this BATON_SECRET opens: at most one process makes one
        newest = max((row.created_at for row in ring.rows), default=_EVER)
        _make(now, signs_from=now, others_until=now + TOKEN_LIFE + MARGIN, unless_since=newest)
    raise secrets.WrongSecret("no signing key can be decrypted: is BATON_SECRET the same on every host?")


def verifier(kid: str) -> RSAKey | None:
    """The public key of this name, or None."""
    found = _current().public.get(kid)
    if found is None and KID.fullmatch(kid):
        found = _current(seconds=RELOAD_SECONDS).public.get(kid)
    return found


def jwks(now: datetime) -> dict[str, list[dict[str, str]]]:
    """The public keys, RFC 7517; makes the first pair, so that it is never empty."""
    signer(now)
    return {"keys": [row.public for row in _current().rows]}


def rotate(now: datetime, *, at_once: bool = False) -> str:
    """Make a new pair; its kid. at_once: the old ones may be known to others, and what they signed ends in a minute."""
    if at_once:
        kid = _make(now, signs_from=now, others_until=now)
    else:
        kid = _make(now, signs_from=now + OVERLAP, others_until=now + OVERLAP + TOKEN_LIFE + MARGIN)
    assert kid is not None
    return kid


def rotate_if_due(now: datetime) -> str | None:
    """Make a new pair where the newest is older than `signing_key_days`, and remove what is shown no more; its kid."""
    signing_keys.remove_old(now)
    since = now - timedelta(days=settings().signing_key_days)
    if any(row.created_at > since for row in _current(fresh=True).rows):
        return None
    until = now + OVERLAP + TOKEN_LIFE + MARGIN
    return _make(now, signs_from=now + OVERLAP, others_until=until, unless_since=since)


def forget() -> None:
    """Read the keys anew at the next use."""
    global _ring
    _ring = None


def _make(
    now: datetime, *, signs_from: datetime, others_until: datetime, unless_since: datetime | None = None
) -> str | None:
    """Make a pair and show the others so long; None where one was made after `unless_since`."""
    kid = random.token_urlsafe(12)
    pair = off_loop(lambda: generate_private_key(public_exponent=65537, key_size=KEY_BITS))
    public = {**RSAKey.import_key(pair.public_key()).as_dict(), "kid": kid, "use": "sig", "alg": "RS256"}
    private = secrets.encrypted(_KIND, pair.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    made = signing_keys.replace(
        kid, public, private, now=now, signs_from=signs_from, others_until=others_until, unless_since=unless_since
    )
    forget()
    if made:
        log.info("signing_key_made", kid=kid, signs_from=signs_from.isoformat())
    return kid if made else None


def _current(*, seconds: float = KEPT_SECONDS, fresh: bool = False) -> Ring:
    """The keys, looked at no longer than `seconds` ago; one look however many ask, and one failure of it."""
    global _ring, _failed
    asked_at = time.monotonic()
    with _loading:
        if _ring is not None and not fresh and asked_at - _ring.loaded_at < seconds:
            return _ring
        if _failed is not None and asked_at <= _failed[0]:
            raise _failed[1]
        try:
            _ring = _load(asked_at)
        except Exception as error:
            _failed = time.monotonic(), error
            raise
        return _ring


def _load(at: float) -> Ring:
    rows = tuple(signing_keys.shown(datetime.now(UTC)))
    public = {row.kid: RSAKey.import_key({name: row.public[name] for name in ("kty", "n", "e")}) for row in rows}
    private = {}
    for row in rows:
        try:
            private[row.kid] = RSAKey.import_key(secrets.decrypted(_KIND, row.private))
        except secrets.WrongSecret as wrong:
            log.warning("signing_key_not_ours", kid=row.kid, error=str(wrong))
    return Ring(at, rows, public, private)
