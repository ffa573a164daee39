"""News of runs for the live viewers of this process: hints from Redis, and one look at Postgres a second.

A viewer registers first and reads Postgres then, so that nothing falls between. What arrives here is a hint: an event
with the next seq may be shown at once, anything else means "read Postgres". One connection to Redis serves all viewers
of the process; while Redis is away, the look at Postgres (one statement for all of them) brings the events, later.

    with hub().watch(tenant_id, run_id, seq) as viewer:
        ... read Postgres up to viewer.seq ...
        message = viewer.get(timeout_seconds=15)
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import redis
import structlog
from redis.connection import ConnectionInterface

from settings import settings
from storage.broker import channel
from storage.outages import first_line
from storage.postgres import keeper_session
from storage.reads.events import shown

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
LOOK_EVENTS = 5_000
QUEUE_MESSAGES = 256
REDIS_TIMEOUT_SECONDS = 2.0
REDIS_PING_SECONDS = 5.0
REDIS_RETRY_SECONDS = 1.0

# Called by every web process once a second while it has viewers. The first part only looks at rows by primary key.
_LOOK = """
WITH behind AS MATERIALIZED (
    SELECT v.run_id, v.seq FROM unnest(%s::uuid[], %s::bigint[]) AS v (run_id, seq)
    JOIN runs r ON r.id = v.run_id AND r.seq > v.seq
)
SELECT e.run_id, e.seq, e.type, e.step, e.node, e.at, e.data::text
FROM behind b JOIN events e ON e.run_id = b.run_id AND e.seq > b.seq
ORDER BY e.run_id, e.seq LIMIT %s
"""


class Message(NamedTuple):
    """What a viewer gets: an event (with seq), a token of a model (without), or neither: read Postgres."""

    event: dict[str, Any] | None = None
    token: dict[str, Any] | None = None


READ = Message()
CLOSE = Message()  # compared by identity


class Viewer:
    """One stream of one run. `seq` is the last event it has; who shows events keeps it up to date."""

    __slots__ = ("_lost", "_messages", "run_id", "seq", "subscribed")

    def __init__(self, run_id: UUID, seq: int) -> None:
        self.run_id = run_id
        self.seq = seq
        self.subscribed = False
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lost = False

    def put(self, message: Message) -> None:
        """Hand over a message; never blocks. A viewer with a full queue reads Postgres when it gets to it."""
        if self._messages.qsize() < QUEUE_MESSAGES:
            self._messages.put(message)
        else:
            self._lost = True

    def get(self, timeout_seconds: float) -> Message | None:
        """The next message; None when none came in time."""
        if self._lost and self._messages.empty():
            self._lost = False
            return READ
        try:
            return self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None


class Hub:
    """Who watches what in this process, and the two threads (greenlets in the web process) that bring the news."""

    def __init__(self) -> None:
        self._viewers: dict[str, list[Viewer]] = {}
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connection: ConnectionInterface | None = None
        self._subscribed: set[str] = set()
        self._started = False
        self._hints_away = False
        self._lock = threading.Lock()

    def close_all(self) -> None:
        """Ask every viewer to end: this process is about to, and its viewers shall reconnect elsewhere."""
        for viewers in list(self._viewers.values()):
            for viewer in viewers:
                viewer.put(CLOSE)

    @contextmanager
    def watch(self, tenant_id: UUID, run_id: UUID, seq: int) -> Iterator[Viewer]:
        """Register a viewer who has the events up to `seq`, for the time of the block.

        Its first message, READ, comes when hints are on their way to it.
        """
        viewer = Viewer(run_id, seq)
        name = channel(tenant_id, run_id)
        with self._lock:
            self._start()
            self._viewers.setdefault(name, []).append(viewer)
            viewer.subscribed = name in self._subscribed
            if viewer.subscribed or self._connection is None:
                viewer.put(READ)
        self._changed.put(name)
        try:
            yield viewer
        finally:
            with self._lock:
                left = [other for other in self._viewers.get(name, ()) if other is not viewer]
                if left:
                    self._viewers[name] = left
                else:
                    self._viewers.pop(name, None)
            self._changed.put(name)

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return sum(map(len, self._viewers.values()))

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for work in (self._listen, self._subscribe, self._look):
                threading.Thread(target=work, name=f"live{work.__name__}", daemon=True).start()

    # ------------------------------------------------------------------------------------------------ hints from Redis

    def _listen(self) -> None:
        """Keep a connection and hand out what it brings, for ever."""
        pool = redis.ConnectionPool.from_url(
            settings().redis_url,
            protocol=2,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        )
        while True:
            connection = pool.make_connection()
            try:
                connection.connect()
                self._begin(connection)
                self._receive(connection)
            except (redis.RedisError, OSError, ValueError) as broken:
                if not self._hints_away:
                    log.warning("live_hints_away", error=str(broken))
                self._hints_away = True
            finally:
                self._connection = None
                for name in list(self._subscribed):
                    self._silent(name)
                connection.disconnect()
            time.sleep(REDIS_RETRY_SECONDS)

    def _begin(self, connection: ConnectionInterface) -> None:
        """Subscribe a fresh connection to everything that is watched."""
        self._connection = connection
        if self._hints_away:
            log.info("live_hints_back")
        self._hints_away = False
        for name in list(self._viewers):
            self._changed.put(name)

    def _receive(self, connection: ConnectionInterface) -> None:
        """Deliver until the connection breaks; one that neither speaks nor answers a ping is broken."""
        heard = asked = time.monotonic()
        while True:
            if connection.can_read(timeout=1.0):
                answer = connection.read_response()
                heard = time.monotonic()
                if isinstance(answer, list) and len(answer) == 3:
                    self._hear(answer[0], answer[1].decode(), answer[2])
                continue
            now = time.monotonic()
            if asked > heard and now - asked > REDIS_TIMEOUT_SECONDS:
                raise redis.TimeoutError("no answer to a ping")
            if asked <= heard and now - heard > REDIS_PING_SECONDS:
                asked = now
                _tell(connection, "PING")

    def _hear(self, kind: bytes, name: str, payload: Any) -> None:
        viewers = self._viewers.get(name, ())
        if kind == b"subscribe":
            self._subscribed.add(name)
            for viewer in viewers:
                # What came between this viewer's look at Postgres and now was not heard.
                if not viewer.subscribed:
                    viewer.subscribed = True
                    viewer.put(READ)
        elif kind == b"unsubscribe":
            self._silent(name)
            self._changed.put(name)  # somebody may have come back meanwhile
        elif kind == b"message" and viewers:
            for message in _messages(payload):
                for viewer in viewers:
                    viewer.put(message)

    def _silent(self, name: str) -> None:
        """Hints of this channel do not come any more."""
        self._subscribed.discard(name)
        for viewer in self._viewers.get(name, ()):
            viewer.subscribed = False

    def _subscribe(self) -> None:
        """Tell Redis who is watched now; a thread of its own, because a frozen Redis must not hold up viewers."""
        while True:
            names = {self._changed.get()}
            while not self._changed.empty():
                names.add(self._changed.get())
            connection = self._connection
            if connection is None:
                continue  # a new connection asks for all of them
            wanted = [name for name in names if name in self._viewers and name not in self._subscribed]
            unwanted = [name for name in names if name not in self._viewers and name in self._subscribed]
            try:
                if wanted:
                    _tell(connection, "SUBSCRIBE", *wanted)
                if unwanted:
                    _tell(connection, "UNSUBSCRIBE", *unwanted)
            except (redis.RedisError, OSError, ValueError) as broken:
                log.warning("live_subscribe_failed", error=str(broken))

    # ------------------------------------------------------------------------------------------------ looks at Postgres

    def _look(self) -> None:
        """Bring what the hints did not: once a second, for all viewers in one statement."""
        more = False
        while True:
            if not more:
                time.sleep(LOOK_SECONDS)
            try:
                more = bool(self._viewers) and self._look_once()
            except Exception as away:  # Postgres is away, or on its way back
                more = False
                log.warning("live_look_failed", error=first_line(away))

    def _look_once(self) -> bool:
        """One look; True if there may be more at once."""
        watched: dict[UUID, tuple[int, list[Viewer]]] = {}
        for viewers in list(self._viewers.values()):
            watched[viewers[0].run_id] = (min(viewer.seq for viewer in viewers), viewers)
        with keeper_session() as db:
            have = [seq for seq, _ in watched.values()]
            rows = db.connection().exec_driver_sql(_LOOK, (list(watched), have, LOOK_EVENTS)).all()
        for row in rows:
            message = Message(event=shown(*row))
            for viewer in watched[row[0]][1]:
                if message.event and message.event["seq"] > viewer.seq:
                    viewer.put(message)
        return len(rows) == LOOK_EVENTS


def _messages(payload: bytes) -> list[Message]:
    """The messages in a hint; none in one that is not ours."""
    try:
        hint = json.loads(payload)
        told = [Message(event=event) for event in hint.get("events", ()) if isinstance(event.get("seq"), int)]
        return [*told, Message(token=hint["token"])] if hint.get("token") else told
    except (ValueError, AttributeError, TypeError):
        return [READ]


def _tell(connection: ConnectionInterface, *command: str) -> None:
    connection.send_packed_command(connection.pack_command(*command), check_health=False)


@cache
def hub() -> Hub:
    """This process's hub."""
    return Hub()
