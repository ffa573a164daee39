"""JSON as it is stored: compact text, its sha256, and the blob store for what is too large for a row."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from settings import settings
from storage import blobs
from storage.text import compact

MAX_FACTS_BYTES = 4096

dump = compact  # how every payload is written


@dataclass(frozen=True)
class Stored:
    """An output ready for its row: the text, or the reference of its blob; sha256 of the text in hex."""

    text: str | None
    ref: str | None
    sha256: str


def store(tenant_id: UUID, run_id: UUID, value: Any) -> Stored:
    """Put a value where it belongs: small ones into the row, large ones into the blob store, before the commit."""
    text = dump(value)
    raw = text.encode()
    if len(raw) <= settings().max_output_inline_bytes:
        return Stored(text, None, hashlib.sha256(raw).hexdigest())
    ref = blobs.put(tenant_id, run_id, raw)
    return Stored(None, ref, ref.rpartition("/")[2])  # a blob is named by its sum


def load(text: str | None, ref: str | None) -> Any:
    """The value behind a row's output column or blob reference."""
    if ref is not None:
        return json.loads(blobs.get(ref))
    return None if text is None else json.loads(text)


def facts_of(output: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The declared fields of an output. Raises ValueError beyond 4 KB: facts are for decisions, not for payloads."""
    facts = {name: output[name] for name in names if name in output} if names else {}
    if facts and len(dump(facts).encode()) > MAX_FACTS_BYTES:
        raise ValueError(
            f"the facts {', '.join(facts)} are larger than {MAX_FACTS_BYTES} bytes: declare smaller fields"
        )
    return facts
