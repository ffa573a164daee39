"""Kombu's Redis transport with one client a channel: kombu makes a new one for every command it sends.

redis-py 8 fills a table of a few hundred callbacks for each client, which was a seventh of a busy worker's time. The
wire format, the commands and their order are kombu's. Named in celeryconfig.py (`broker_transport`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis


class QoS(redis.QoS):
    """Takes and acknowledges messages without MULTI and EXEC.

    Index and message are written in this order and removed in this order; what is cut in between is an index entry
    without its message, which kombu removes, or a message that nobody looks for. Postgres knows what has to run.
    """

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """A pipeline to write into: the caller's own, or a new one."""
        if pipe is not None:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as lent:
                yield lent.pipeline(transaction=False)


class Channel(redis.Channel):
    """A channel whose commands share one client, which takes a connection from the channel's pool for each of them."""

    QoS = QoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # the one that waits in BRPOP holds a connection of its own
            return super()._create_client(asynchronous=True)  # type: ignore[no-untyped-call]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[no-untyped-call]
        return self._kept


class Transport(redis.Transport):
    """The transport that makes such channels."""

    Channel = Channel
