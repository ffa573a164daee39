"""Kombu's Redis transport with fewer round trips: one client a channel, and messages forgotten in company.

Two things cost a busy worker a third of its time. Kombu makes a new client for every command (redis-py 8 fills a table
of a few hundred callbacks for each), and it acknowledges every message in a transaction of its own. Here a channel
keeps its client, and an acknowledged message is forgotten together with the taking of the next one, or 0.2 s later. The
commands and the wire format are kombu's. Named in celeryconfig.py (`broker_transport`).
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

log = structlog.get_logger()

FORGET_SECONDS = 0.2


class QoS(redis.QoS):
    """Which messages this channel has taken and not acknowledged.

    An acknowledgement that is cut off leaves a message in Redis's list of taken ones, which kombu sends again after the
    visibility timeout and the claim then refuses: Postgres knows what has to run.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._to_forget: list[str] = []

    def append(self, message: Any, delivery_tag: str) -> None:
        """Remember a message as taken, and forget the acknowledged ones on the same way."""
        about = message.delivery_info
        raw = dumps([message._raw, about["exchange"], about["routing_key"]])  # type: ignore[no-untyped-call]
        with self.channel.conn_or_acquire() as client:
            pipe = client.pipeline(transaction=False)
            pipe.zadd(self.unacked_index_key, {delivery_tag: time.time()}).hset(self.unacked_key, delivery_tag, raw)
            self._forget(pipe)
        virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """Count the message as done here and now; Redis hears of it with the next one, or from `forget`."""
        self._to_forget.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def forget(self) -> None:
        """Tell Redis which messages are done."""
        if self._to_forget:
            with self.channel.conn_or_acquire() as client:
                self._forget(client.pipeline(transaction=False))

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """At the end of the channel: what is done is not restored, and the rest if Redis is there to take it.

        Where the broker is gone, the channel may be taken apart already, which raises anything; let out, it would end
        the worker. What is not restored here, the sweep sends again.
        """
        try:
            self.forget()
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except Exception as gone:
            log.info("messages_not_restored", error=repr(gone))
            self._to_forget.clear()

    def _forget(self, pipe: Any) -> None:
        done = self._to_forget[:]
        if done:
            pipe.zrem(self.unacked_index_key, *done).hdel(self.unacked_key, *done)
        pipe.execute()
        del self._to_forget[: len(done)]


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
    _timer: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take part in the worker's loop; an idle worker forgets what it has done by the clock."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_repeatedly(FORGET_SECONDS, self._forget)

    def _forget(self) -> None:
        for channel in tuple(self.channels):
            if channel._qos is not None:
                channel._qos.forget()
