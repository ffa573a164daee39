"""Turns secrets into what may be kept: HMACs of tokens that we only recognise, ciphertexts of keys that we need back.

Everything is under BATON_SECRET, so that a stolen backup opens nothing. Each kind of secret has a key of its own, made
from it by HKDF-SHA256 (RFC 5869): what is kept of one kind says nothing about another. A change of BATON_SECRET ends
all that is kept. API keys are older than this file: `storage/tenants.py` makes their hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from settings import SettingsError, settings

NONCE_BYTES = 12


class WrongSecret(Exception):
    """What is kept was encrypted under another BATON_SECRET, as another kind, or was changed."""


def hashed(kind: str, secret: str) -> bytes:
    """The HMAC-SHA256 (32 bytes) of a secret; kind: what it is, such as `refresh`."""
    return hmac.new(_key(f"hmac {kind}"), secret.encode(), hashlib.sha256).digest()


def encrypted(kind: str, plain: bytes) -> bytes:
    """AES-256-GCM with a random nonce before the ciphertext and the kind as associated data."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_key(f"aes {kind}")).encrypt(nonce, plain, kind.encode())


def decrypted(kind: str, kept: bytes) -> bytes:
    """What `encrypted` was given. Raises WrongSecret."""
    try:
        return AESGCM(_key(f"aes {kind}")).decrypt(kept[:NONCE_BYTES], kept[NONCE_BYTES:], kind.encode())
    except (InvalidTag, ValueError) as wrong:
        raise WrongSecret(
            f"the {kind} cannot be decrypted: BATON_SECRET is not the one it was encrypted with"
        ) from wrong


def _key(purpose: str) -> bytes:
    """Raises SettingsError where there is no secret: then anybody could make keys."""
    secret = settings().secret.get_secret_value()
    if not secret:
        raise SettingsError("BATON_SECRET is not set: nothing secret can be made or checked without it")
    return _derived(secret, purpose)


@lru_cache(maxsize=64)
def _derived(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"baton {purpose}".encode()).derive(secret.encode())
