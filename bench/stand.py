"""What a measure works with: the servers, the contestants, how many chains are in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench import probes
from bench.contestants import Bare, Baton, Contestant, OnCelery, Peer
from bench.servers import Servers

T = TypeVar("T")


@dataclass(frozen=True)
class Stand:
    """All that takes part. peers: those that could be installed."""

    servers: Servers
    bare: Bare
    baton: Baton
    peers: Sequence[Peer]
    chains: int

    def both(self, number: int) -> Sequence[OnCelery]:
        """Bare Celery and Baton, in the order of this round."""
        return _turned((self.bare, self.baton), number)

    def all(self, number: int) -> Sequence[Contestant]:
        """Every contestant, in the order of this round: each is the first as often as the others."""
        return _turned((self.bare, self.baton, *self.peers), number)

    def commit_ms(self) -> float:
        """The commit probe, now."""
        return probes.commit_ms(self.servers.owner_url)


def _turned(contestants: Sequence[T], number: int) -> Sequence[T]:
    first = number % len(contestants)
    return [*contestants[first:], *contestants[:first]]
