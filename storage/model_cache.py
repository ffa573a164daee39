"""Answers of models that all processes share, and who of them asks: Redis, best effort, one round trip a call.

    baton:TENANT:model:answer:KEY    an answer, for as long as its asker said
    baton:TENANT:model:flight:KEY    the token of the process that asks for it right now
    baton:TENANT:model:answers       the keys of the answers, by the second at which they end: for `forget`

Nothing here raises: without Redis each process has only what it remembers itself (gateway/cache/lookup.py).
"""

from __future__ import annotations

import time
from uuid import UUID

import redis

from storage import broker

MAX_VALUE_BYTES = 1024 * 1024
CLOCKS_APART_SECONDS = 600.0  # of hosts: a key stays listed for longer than its answer is there
FORGET_BATCH, MOST_BATCHES = 500, 10_000

# Only the one who holds the flight ends it: after its time was over it may be another's.
_LET_GO = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


def get(tenant_id: UUID, key: str) -> bytes | None:
    """The answer under this key, or None."""
    return broker.quickly(lambda: _bytes(broker.quick_client().get(_answer(tenant_id, key))), "model_cache_get")


def put(tenant_id: UUID, key: str, value: bytes, ttl_seconds: float) -> None:
    """Keep an answer for so long; one of more than 1 MB is not kept."""
    if len(value) <= MAX_VALUE_BYTES and ttl_seconds > 0:
        milliseconds, now = max(1, round(ttl_seconds * 1000)), time.time()

        def write() -> None:
            # The key is listed before there is an answer under it, in one transaction: `forget` misses none.
            with broker.quick_client().pipeline(transaction=True) as pipe:
                pipe.zremrangebyscore(_answers(tenant_id), "-inf", now)
                pipe.zadd(_answers(tenant_id), {key: now + ttl_seconds + CLOCKS_APART_SECONDS})
                pipe.set(_answer(tenant_id, key), value, px=milliseconds)
                pipe.execute()

        broker.quickly(write, "model_cache_put")


def lead(tenant_id: UUID, key: str, token: str, seconds: float) -> tuple[bool, bytes | None] | None:
    """(whether the holder of `token` is now the one who asks, the answer that came meanwhile); None: no Redis.

    The flight is taken before the answer is read: so an answer that came in between is seen.
    """

    def write() -> tuple[bool, bytes | None]:
        with broker.quick_client().pipeline(transaction=False) as pipe:
            pipe.set(_flight(tenant_id, key), token, nx=True, px=max(1, round(seconds * 1000)))
            pipe.get(_answer(tenant_id, key))
            taken, value = pipe.execute()
            return bool(taken), _bytes(value)

    return broker.quickly(write, "model_cache_lead")


def let_go(tenant_id: UUID, key: str, token: str) -> None:
    """The one who asked is done, with or without an answer: the next one may."""
    broker.quickly(lambda: broker.quick_client().eval(_LET_GO, 1, _flight(tenant_id, key), token), "model_cache_let_go")


def forget(tenant_id: UUID) -> int | None:
    """Delete every answer that is kept for the tenant; how many there were. None: Redis does not answer."""
    forgotten, listed = 0, _answers(tenant_id)

    def forget_some() -> tuple[int, int]:
        keys: list[bytes] = broker.client().zrange(listed, 0, FORGET_BATCH - 1)  # type: ignore[assignment]
        if not keys:
            return 0, 0
        gone = broker.client().unlink(*(_answer(tenant_id, key.decode()) for key in keys))
        broker.client().zrem(listed, *keys)
        return len(keys), int(gone)

    try:
        for _ in range(MOST_BATCHES):
            found, gone = forget_some()
            forgotten += gone
            if not found:
                return forgotten
    except (redis.RedisError, OSError):
        pass
    return None


def _answers(tenant_id: UUID) -> str:
    return f"baton:{tenant_id}:model:answers"


def _answer(tenant_id: UUID, key: str) -> str:
    return f"baton:{tenant_id}:model:answer:{key}"


def _flight(tenant_id: UUID, key: str) -> str:
    return f"baton:{tenant_id}:model:flight:{key}"


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None
