"""Large outputs, outside the database: any fsspec URL (a folder by default), one folder a run, content named by sha256.

A reference reads `tenant/run/sha256`. It is written into a row only after `put` returned, and `put` returns when the
whole content lies under its final name; `get` checks the sum, so nobody ever reads half a blob or another's.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from errors import BatonError
from settings import settings

_REF = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}/([0-9a-f]{64})")


class BlobMissing(BatonError):
    """A stored output is not in the blob store."""

    status, code = 500, "blob_missing"


class BlobCorrupted(BatonError):
    """A stored output does not have the content that it was stored with."""

    status, code = 500, "blob_corrupted"


def put(tenant_id: UUID, run_id: UUID, content: bytes) -> str:
    """Store content for a run and return its reference; the same content again is the same reference.

    Raises OSError (or what the file system raises) when the store is away.
    """
    ref = f"{tenant_id}/{run_id}/{hashlib.sha256(content).hexdigest()}"
    files, base = _store()
    if isinstance(files, LocalFileSystem):
        _write_local(Path(base, ref), content)
    else:
        files.pipe_file(f"{base}/{ref}", content)  # an object store shows an object whole or not at all
    return ref


def get(ref: str) -> bytes:
    """The content of a reference. Raises BlobMissing, BlobCorrupted, ValueError for what is no reference."""
    sha256 = _sha256_of(ref)
    files, base = _store()
    try:
        content: bytes = files.cat_file(f"{base}/{ref}")
    except FileNotFoundError:
        raise BlobMissing(f"blob {ref} is not in the store") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobCorrupted(f"blob {ref} is not what was stored: {len(content)} bytes with another sha256")
    return content


def copy_to_run(ref: str, tenant_id: UUID, run_id: UUID) -> str:
    """Copy a blob to another run, whose life is its own, and return the new reference. Raises as `get` does."""
    return put(tenant_id, run_id, get(ref))


def delete_run(tenant_id: UUID, run_id: UUID) -> None:
    """Delete all that was stored for a run, referenced or not; nothing there is fine."""
    files, base = _store()
    try:
        files.rm(f"{base}/{tenant_id}/{run_id}", recursive=True)
    except FileNotFoundError:
        return


def _write_local(path: Path, content: bytes) -> None:
    """Write under a name of its own, rename, sync. What is there already counts only if it is the same, byte for byte:
    a power cut may have left a name without its content.
    """
    try:
        there = path.read_bytes() == content
    except FileNotFoundError:
        there = False
    if not there:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        try:
            with fresh.open("xb") as file:
                file.write(content)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    # Renamed first, so that one sync of the journal holds the content and the name; the folder's is then nearly free.
    for synced in (path, path.parent):
        handle = os.open(synced, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sha256_of(ref: str) -> str:
    """The sum in a reference. Raises ValueError for anything else, such as a path that climbs out of the store."""
    found = _REF.fullmatch(ref)
    if not found:
        raise ValueError(f"not a blob reference: {ref[:120]!r}")
    return found[1]


def _store() -> tuple[AbstractFileSystem, str]:
    """The file system of BATON_BLOB_URL and the path in it."""
    return _open_store(settings().blob_url, os.getpid())


@lru_cache(maxsize=4)
def _open_store(url: str, pid: int) -> tuple[AbstractFileSystem, str]:
    """A file system object a process: those with connections and loops of their own do not survive a fork."""
    files, base = url_to_fs(url, skip_instance_cache=True)
    return files, str(base).rstrip("/")
