"""The state of a run at a checkpoint: by name, the last output of each node up to it, and the checksum of that.

Canonical JSON: keys sorted, no spaces, UTF-8. Each output is written canonically once; a state is put together from the
written pieces, so that a long history of large states costs one pass and not one for each version.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row

from chains.paths import by_name
from storage.reads import payloads


def canonical(value: Any) -> str:
    """The canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Fold:
    """The state that grows as outputs are added in the order of their commits."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}
        self._written: dict[str, str] = {}
        self._named: dict[str, Any] = {}

    def add(self, key: str, output: Any) -> None:
        """Add the output of a step."""
        self._written[key] = canonical(output)
        name = next(iter(by_name([key])))
        keys = self._keys.setdefault(name, [])
        keys.append(key)
        self._named[name] = key if len(keys) == 1 and "[" not in key else by_name(keys)[name]

    def text(self) -> str:
        """The state's canonical JSON."""
        parts = (f"{canonical(name)}:{self._text(self._named[name])}" for name in sorted(self._named))
        return "{" + ",".join(parts) + "}"

    def _text(self, place: Any) -> str:
        if isinstance(place, list):
            return "[" + ",".join(self._text(one) for one in place) + "]"
        return "null" if place is None else self._written[place]


def folded(rows: Sequence[Row[Any]], trace_id: str, shown: set[int]) -> Iterator[tuple[dict[str, Any], str]]:
    """The checkpoints of one run whose version is in `shown`, each with its state's canonical JSON.

    rows: all its checkpoints from the first one on (see storage/reads/checkpoints.py).
    """
    fold = Fold()
    for row in rows:
        fold.add(row.key, payloads.output(row.output, row.output_ref))
        if row.version not in shown:
            continue
        text = fold.text()
        yield (
            {
                "version": row.version,
                "step": row.key,
                "node": row.node,
                "status": row.status,
                "attempt": row.attempt,
                "trace_id": trace_id,
                "checksum": hashlib.sha256(text.encode()).hexdigest(),
                "created_at": row.finished_at,
            },
            text,
        )
        time.sleep(0)  # large states take their time: let other requests of this process go on
