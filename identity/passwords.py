"""Passwords: argon2id hashes (RFC 9106), the rules of a new one, and a check that takes as long for nobody.

The parameters are OWASP's first choice (Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane); about 40 ms here,
where RFC 9106's second choice (64 MiB, 3 passes, 4 lanes) took 200. A hash made with others is made
anew at the next login.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from errors import FieldError, InvalidInput
from identity.off_loop import off_loop

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)

# Of the lists of leaked passwords those that are long enough; what merely repeats is found by its few characters.
_WORST = frozenset(
    """
    123456789012 1234567890123 12345678901234 123456789123 1234567890qwerty qwertyuiop123 qwertyuiop12 qwerty123456
    qwertyuiop[] qwertyuiopasdfghjkl 1q2w3e4r5t6y 1qaz2wsx3edc 1qaz2wsx3edc4rfv q1w2e3r4t5y6 zaq12wsxcde3
    password1234 password12345 password123456 passwordpassword password123! p@ssw0rd1234 passw0rd1234 mypassword123
    adminadmin12 administrator administrator1 admin1234567 admin123456789 letmein12345 letmeinletmein welcome12345
    welcome123456 changeme1234 changemechangeme iloveyou1234 iloveyou123456 football1234 baseball1234 sunshine1234
    princess1234 abcdefghijkl abcdefghijklm abc123456789 a1b2c3d4e5f6 woaini123456 woaini1314520 wodemima1234
    5201314520131 qq123456789 correcthorsebatterystaple trustno1trustno1
    """.split()  # noqa: SIM905  (a list would be fifty lines)
)


def hashed(password: str) -> str:
    """The argon2id hash, in PHC format, with a salt of its own."""
    plain = _plain(password)
    return off_loop(lambda: _hasher.hash(plain))


def matches(password: str, kept: str | None) -> bool:
    """Whether this is the password; kept: its hash, None where there is no user: the same work, and no."""
    plain = _plain(password)
    against = kept or _nobody()

    def verified() -> bool:
        try:
            return _hasher.verify(against, plain)
        except (VerificationError, InvalidHashError):
            return False

    return off_loop(verified) and kept is not None


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def check_new(password: str, email: str, field: str = "password") -> None:
    """Raises InvalidInput, naming `field`, where nobody should have this password."""
    folded = _plain(password).casefold()
    wrong = None
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        wrong = f"must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters"
    elif folded in {email.casefold(), email.casefold().partition("@")[0]}:
        wrong = "must not be the e-mail address"
    elif folded in _WORST or len(set(folded)) < 5:
        wrong = "is one of those that are tried first"
    if wrong:
        raise InvalidInput(f"{field} {wrong}", errors=[FieldError(field=field, message=wrong)])


@cache
def _nobody() -> str:
    """A hash that no password has, with today's parameters."""
    return _hasher.hash("the password of nobody")


def _plain(password: str) -> str:
    """NFC: one keyboard writes é as one character, another as two. Cut, so that what is too long costs nothing."""
    return unicodedata.normalize("NFC", password[: MAX_CHARACTERS + 1])
