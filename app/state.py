"""The state of a run at a checkpoint: by name, the last output of each node up to it, and the checksum of that.

Canonical JSON: keys sorted, no spaces, UTF-8. Each output is written canonically once, and a state's checksum goes on
from where the pieces before the first changed one had brought it, so that a long history of large states costs little
more than its newest state. Hashing pauses between pieces: this process has other requests and streams to serve.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Row

from chains.paths import by_name
from storage.reads import payloads

PAUSE_EVERY_BYTES = 1 << 20
KEEP_EVERY_BYTES = 1 << 16


def canonical(value: Any) -> bytes:
    """The canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Fold:
    """The state that grows as outputs are added in the order of their commits."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}
        self._written: dict[str, bytes] = {}
        self._labels: dict[str, bytes] = {}
        self._named: dict[str, Any] = {}
        self._hashed: list[bytes] = []
        self._kept = [(0, hashlib.sha256())]

    def add(self, key: str, output: Any) -> None:
        """Add the output of a step."""
        self._written[key] = canonical(output)
        name = next(iter(by_name([key])))
        self._labels.setdefault(name, canonical(name) + b":")
        keys = self._keys.setdefault(name, [])
        keys.append(key)
        self._named[name] = key if len(keys) == 1 and "[" not in key else by_name(keys)[name]

    def text(self) -> bytes:
        """The state's canonical JSON."""
        return b"".join(self._pieces())

    def checksum(self) -> str:
        """The sha256 of the state's canonical JSON, in hexadecimal."""
        pieces = list(self._pieces())
        same = next((i for i, (old, new) in enumerate(zip(self._hashed, pieces, strict=False)) if old is not new), None)
        same = min(len(self._hashed), len(pieces)) if same is None else same
        while self._kept[-1][0] > same:
            self._kept.pop()
        begin, kept = self._kept[-1]
        going = kept.copy()
        unkept = unpaused = 0
        for index in range(begin, len(pieces)):
            going.update(pieces[index])
            unkept += len(pieces[index])
            unpaused += len(pieces[index])
            if unkept >= KEEP_EVERY_BYTES:
                self._kept.append((index + 1, going.copy()))
                unkept = 0
            if unpaused >= PAUSE_EVERY_BYTES:
                time.sleep(0.001)  # a pause of 0 would let nobody in who has yet to be heard
                unpaused = 0
        self._hashed = pieces
        return going.hexdigest()

    def _pieces(self) -> Iterator[bytes]:
        comma = b"{"
        for name in sorted(self._named):
            yield comma
            yield self._labels[name]
            yield from self._value(self._named[name])
            comma = b","
        yield b"}" if comma == b"," else b"{}"

    def _value(self, place: Any) -> Iterator[bytes]:
        if not isinstance(place, list):
            yield b"null" if place is None else self._written[place]
            return
        yield b"["
        for index, one in enumerate(place):
            if index:
                yield b","
            yield from self._value(one)
        yield b"]"


def folded(
    rows: Sequence[Row[Any]], trace_id: str, shown: set[int]
) -> Iterator[tuple[dict[str, Any], Callable[[], bytes]]]:
    """The checkpoints of one run whose version is in `shown`, each with what gives its state's canonical JSON.

    rows: all its checkpoints from the first one on (see storage/reads/checkpoints.py). The JSON is that of the
    checkpoint just given, until the next one is taken.
    """
    fold = Fold()
    for row in rows:
        fold.add(row.key, payloads.output(row.output, row.output_ref))
        if row.version not in shown:
            continue
        yield (
            {
                "version": row.version,
                "step": row.key,
                "node": row.node,
                "status": row.status,
                "attempt": row.attempt,
                "trace_id": trace_id,
                "checksum": fold.checksum(),
                "created_at": row.finished_at,
            },
            fold.text,
        )
