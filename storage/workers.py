"""Who is alive: the keeper's reads about workers and their leases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.checkpoints import Lease
from storage.postgres import Hot
from storage.segments import Held


@dataclass(frozen=True)
class Seen:
    """A worker's row. expired: it did not renew in time; unlocked: nobody holds its advisory lock."""

    id: UUID
    expired: bool
    unlocked: bool


def still_mine(db: Hot, worker: UUID, running: Mapping[UUID, Lease]) -> set[UUID]:
    """The tokens of running nodes whose lease holds and whose run is not being stopped."""
    leases = list(running.values())
    rows = db.all(
        "still_mine",
        worker,
        [one.run_id for one in leases],
        [one.segment for one in leases],
        list(running),
        synced=False,
    )
    return {row[0] for row in rows}


def seen(db: Hot) -> list[Seen]:
    """Every worker that has a row."""
    return [Seen(*row) for row in db.all("workers")]


def held_by_nobody(db: Hot, dead: Sequence[UUID], limit: int) -> list[Held]:
    """Leases of dead or unknown workers, and those past their deadline."""
    return [Held(*row) for row in db.all("held_by_nobody", list(dead), limit)]


def leases_of(db: Hot, workers: Iterable[UUID]) -> list[Held]:
    """What these workers hold, to be given back."""
    return [Held(*row) for row in db.all("leases_of", list(workers))]


def named(db: Hot, name: str) -> list[UUID]:
    """The workers of one Celery node, its forked children included."""
    return [row[0] for row in db.all("workers_named", name)]
