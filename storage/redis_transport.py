"""Kombu's Redis transport with fewer round trips: one client a channel, and quick messages leave no trace.

Two things cost a busy worker a third of its time. Kombu makes a new client for every command (redis-py 8 fills a table
of a few hundred callbacks for each), and it writes down every message that it takes, and strikes it out again, in round
trips of their own. Here a channel keeps its client, and five times a second it writes down what is still being worked
on: a message that was acknowledged by then costs nothing. The commands and the wire format are kombu's. Named in
celeryconfig.py (`broker_transport`).
"""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

log = structlog.get_logger()

SETTLE_SECONDS = 0.2


class QoS(redis.QoS):
    """Which messages this channel has taken and not acknowledged.

    What Redis does not know of dies with the worker, and what it knows of would be sent again after the visibility
    timeout, hours later. Neither matters: Postgres knows what has to run, and the sweep sends it within seconds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._to_remember: dict[str, tuple[float, Any]] = {}
        self._to_forget: list[str] = []
        self._settling = threading.RLock()  # the loop's timer does it, and threads that put a message back

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message was taken: note it here and now, in Redis if it takes longer."""
        self._to_remember[delivery_tag] = (time.time(), message)
        virtual.QoS.append(self, message, delivery_tag)  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: str) -> None:
        """A message is done: Redis hears of it only if it was told of the message at all."""
        if self._to_remember.pop(delivery_tag, None) is None:
            self._to_forget.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Put a message back, which Redis can do with what it knows of, or drop it."""
        self.settle()
        super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]

    def settle(self) -> None:
        """Tell Redis which messages are taken and which are done."""
        with self._settling:
            self._settle()

    def _settle(self) -> None:
        taken = {tag: self._to_remember.pop(tag, None) for tag in tuple(self._to_remember)}
        noted = {tag: note for tag, note in taken.items() if note is not None}  # None: acknowledged in this moment
        done = self._to_forget[:]
        if not (noted or done):
            return
        with self.channel.conn_or_acquire() as client:
            pipe = client.pipeline(transaction=False)
            if noted:
                pipe.zadd(self.unacked_index_key, {tag: at for tag, (at, _) in noted.items()})
                pipe.hset(self.unacked_key, mapping={tag: _text(message) for tag, (_, message) in noted.items()})
            if done:
                pipe.zrem(self.unacked_index_key, *done).hdel(self.unacked_key, *done)
            pipe.execute()
        del self._to_forget[: len(done)]

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """At the end of the channel: what is done is not restored, and the rest if Redis is there to take it.

        Where the broker is gone, the channel may be taken apart already, which raises anything; let out, it would end
        the worker. What is not restored here, the sweep sends again.
        """
        try:
            self.settle()
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except Exception as gone:
            log.info("messages_not_restored", error=repr(gone))
            self._to_forget.clear()


def _text(message: Any) -> str:
    about = message.delivery_info
    return dumps([message._raw, about["exchange"], about["routing_key"]])  # type: ignore[no-untyped-call, no-any-return]


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

    def _brpop_read(self, **options: Any) -> Any:
        """Take a message. One that is none is dropped with a word: who can write to a queue must not end workers."""
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError, RecursionError) as wrong:
            log.error("message_unreadable", error=repr(wrong)[:200])
            return True


class Transport(redis.Transport):
    """The transport that makes such channels."""

    Channel = Channel
    _timer: Any = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Take part in the worker's loop; what was taken and done is settled by the clock."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_repeatedly(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        for channel in tuple(self.channels):
            if channel._qos is not None:
                channel._qos.settle()
