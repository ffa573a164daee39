"""Blobs: what comes back is what was stored, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import fsspec
import pytest

from settings import Settings
from storage import blobs
from storage.tables import uuid7


@pytest.fixture(params=["folder with spaces", "memory"])
def store(request: pytest.FixtureRequest, settings_env: Settings, tmp_path: Path, monkeypatch) -> Iterator[str]:
    """A store of the test's own: a folder, then a file system that is not local."""
    url = f"file://{tmp_path}/a b/blobs" if request.param != "memory" else "memory://baton/blobs"
    own = settings_env.model_copy(update={"blob_url": url})
    monkeypatch.setattr(blobs, "settings", lambda: own)
    yield url
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def run() -> tuple[UUID, UUID]:
    """A tenant's and a run's id."""
    return uuid7(), uuid7()


def overwrite(store: str, ref: str, content: bytes) -> None:
    """Spoil a blob behind the store's back."""
    with fsspec.open(f"{store}/{ref}", "wb") as file:
        file.write(content)


@pytest.mark.parametrize("content", [b"", b"\x00\xff", "小雅".encode() * 100_000])
def test_a_blob_comes_back_as_it_was(store: str, run: tuple[UUID, UUID], content: bytes) -> None:
    ref = blobs.put(*run, content)
    assert ref.startswith(f"{run[0]}/{run[1]}/")
    assert blobs.get(ref) == content


def test_the_same_content_is_the_same_reference(store: str, run: tuple[UUID, UUID]) -> None:
    with ThreadPoolExecutor(8) as pool:
        refs = set(pool.map(lambda _: blobs.put(*run, b"same" * 100_000), range(16)))
    assert len(refs) == 1
    assert blobs.get(refs.pop()) == b"same" * 100_000


@pytest.mark.parametrize("spoilt", [b"", b"other content", b"contenT"])
def test_a_spoilt_blob_is_noticed_and_healed_by_the_next_put(store: str, run: tuple[UUID, UUID], spoilt: bytes) -> None:
    ref = blobs.put(*run, b"content")
    overwrite(store, ref, spoilt)
    with pytest.raises(blobs.BlobCorrupted, match=ref):
        blobs.get(ref)
    assert blobs.put(*run, b"content") == ref
    assert blobs.get(ref) == b"content"


def test_a_missing_blob_is_named(store: str, run: tuple[UUID, UUID]) -> None:
    ref = blobs.put(*run, b"content")
    blobs.delete_run(*run)
    with pytest.raises(blobs.BlobMissing, match=ref):
        blobs.get(ref)
    blobs.delete_run(*run)


def test_a_copy_outlives_its_source(store: str, run: tuple[UUID, UUID]) -> None:
    fork = uuid7()
    copied = blobs.copy_to_run(blobs.put(*run, b"content"), run[0], fork)
    blobs.delete_run(*run)
    assert blobs.get(copied) == b"content"
    assert str(fork) in copied


@pytest.mark.parametrize("ref", ["", "../../etc/passwd", f"{uuid7()}/{uuid7()}/../{'a' * 64}", f"{'a' * 64}"])
def test_what_is_no_reference_is_refused(store: str, ref: str) -> None:
    with pytest.raises(ValueError, match="not a blob reference"):
        blobs.get(ref)


def test_a_write_that_fails_leaves_nothing(
    settings_env: Settings, tmp_path: Path, run: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = settings_env.model_copy(update={"blob_url": f"file://{tmp_path}"})
    monkeypatch.setattr(blobs, "settings", lambda: own)

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        blobs.put(*run, b"content")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
