"""What a chain's `output` function sees of a finished run: steps in order, outputs and input read when asked for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from chains import payload
from chains.definition import Results, StepResult
from storage.postgres import Hot

Json = Any
MOST_CHARACTERS = 2000  # of what is told of a degraded run


class LazyInput(Mapping[str, Json]):
    """The run's input, read at the first look: most chains' outputs never look."""

    def __init__(self, db: Hot, run_id: UUID) -> None:
        self._db, self._run_id = db, run_id
        self._read: dict[str, Json] | None = None

    def _value(self) -> dict[str, Json]:
        if self._read is None:
            row = self._db.one("read_input", self._run_id)
            self._read = json.loads(row[0]) if row else {}
        return self._read

    def __getitem__(self, key: str) -> Json:
        return self._value()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())


def read_results(db: Hot, run_id: UUID) -> Results:
    """The results of a run whose lock the caller holds."""
    rows = db.all("results", run_id)
    steps = tuple(
        StepResult(key, node, version, json.loads(facts) if facts else {}) for key, node, version, facts, _ in rows
    )

    def read(key: str) -> Json:
        found = db.one("read_output", run_id, key)
        return payload.load(*found) if found else None

    return Results(LazyInput(db, run_id), steps, int(rows[0][4]) if rows else 0, read)


def degraded_reason(steps: Sequence[StepResult]) -> str | None:
    """Why a run is degraded: what its steps said, each reason once with how many said it; None where none did."""
    reasons = Counter(str(step.facts["degraded"]) for step in steps if step.facts.get("degraded"))
    told = "; ".join(f"{why} ({times} times)" if times > 1 else why for why, times in reasons.items())
    return told[:MOST_CHARACTERS] or None
