"""Who may do what in Redis: one user for each kind of process, with the commands, keys and channels that it needs.

`up` gives these users to the embedded Redis; for a Redis of one's own `deploy/redis/users.acl.example` is made from
this table (`python -m storage.redis_users`). Who uses a new command or a new kind of key adds it here, or is refused
with NOPERM; `manage.py redis-cli ACL LOG` says what was. Redis 7 or newer knows these rules.

    web        accepts: pushes nodes' messages (and reads none), tells and hears live viewers, counts
    worker     also beat and isolated: consumes, pushes, answers Celery's remote control, keeps results
    flower     looks: task events, the workers' answers. No queue of nodes, no message, no result, no tenant's key
    operator   everything: commands typed by hand
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from typing import NamedTuple

DATABASE = 0  # of the server; kombu writes its number into the names of its channels


class Access(NamedTuple):
    """What a user may do beside COMMANDS: keys as ACL rules (`~` all, `%R~` read, `%W~` write), channels, commands."""

    keys: tuple[str, ...]
    channels: tuple[str, ...]
    more: tuple[str, ...] = ()


def _queues(names: tuple[str, ...], may: str = "~") -> tuple[str, ...]:
    """The lists of queues: kombu keeps one more for each priority, behind two control characters."""
    return tuple(f"{may}{name}{suffix}" for name in names for suffix in ("", "??[369]"))


# Sent by web: nodes, never maintenance (tests compare these with chains/queues.py).
NODE_QUEUES, MAINTENANCE = ("agents", "tools", "isolated"), "maintenance"

# What every process may do to the keys that are its own: data, no look at what others keep, nothing to the server.
COMMANDS = (
    "get", "mget", "set", "del", "unlink", "exists", "expire", "pexpire", "ttl", "pttl", "type",
    "incr", "incrby", "incrbyfloat", "decr", "decrby", "time",
    "llen", "lpush", "rpush", "lpop", "rpop", "brpop", "lrange", "ltrim", "lrem", "lindex", "lset",
    "hget", "hmget", "hgetall", "hset", "hdel", "hexists", "hlen", "hincrby",
    "sadd", "srem", "smembers", "sismember", "scard",
    "zadd", "zrem", "zrange", "zrangebyscore", "zrevrange", "zrevrangebyscore", "zremrangebyscore", "zremrangebyrank",
    "zcard", "zcount", "zscore", "zincrby",
    "eval", "evalsha", "script|load", "script|exists",  # a script may do what its caller may
    "publish", "subscribe", "unsubscribe",
)  # fmt: skip
_BY_PATTERN = ("psubscribe", "punsubscribe")

_OURS = "baton:*"
_RESULTS = "celery-task-meta-*"
_MAILBOXES = ("~_kombu.binding*", *_queues(("*.celery.pidbox",)))  # commands of Celery's remote control, and answers
_REMOTE_CONTROL, _REMOTE_CONTROL_OF_ONE = f"/{DATABASE}.celery.pidbox", f"/{DATABASE}.*celery.pidbox"
_TASK_EVENTS = f"/{DATABASE}.celeryev/*"

USERS: dict[str, Access] = {
    "web": Access(
        (f"~{_OURS}", f"%W~{_RESULTS}", *_queues(NODE_QUEUES, "%W~"), *_queues((MAINTENANCE,), "%R~")),
        (_OURS, _RESULTS),
    ),
    "worker": Access(
        (f"~{_OURS}", f"~{_RESULTS}", "~unacked*", *_MAILBOXES, *_queues((*NODE_QUEUES, MAINTENANCE))),
        (_OURS, _RESULTS, _REMOTE_CONTROL, _REMOTE_CONTROL_OF_ONE, _TASK_EVENTS),
        _BY_PATTERN,
    ),
    "flower": Access(
        # kombu looks for messages that nobody acknowledged on every connection that waits: their ids, not their text
        (*_MAILBOXES, *_queues(("celeryev.*",)), "~unacked_mutex", "%R~unacked_index"),
        (_REMOTE_CONTROL, _TASK_EVENTS),
        _BY_PATTERN,
    ),
}
OPERATOR = "operator"
ROLES = (*USERS, OPERATOR)


def role_of(process: str) -> str:
    """The user of a process of the Procfile: `worker-2`, `isolated` and `beat` are workers."""
    return process if process in ("web", "flower") else "worker"


def acl_file(passwords: Mapping[str, str]) -> str:
    """The ACL file: every role with the hash of its password, and no default user.

    passwords: by role, in plain text. The file holds their SHA-256 alone: they are random and long.
    """
    return _file({name: f"#{hashlib.sha256(passwords[name].encode()).hexdigest()}" for name in ROLES})


def acl_example() -> str:
    """The same for a Redis of one's own, with passwords to be replaced."""
    return _file({name: f">{name}-password" for name in ROLES})


def _file(secrets: Mapping[str, str]) -> str:
    lines = ("user default reset off", *(_user(name, secrets[name]) for name in ROLES))
    return "".join(f"{line}\n" for line in lines)


def _user(name: str, secret: str) -> str:
    if name == OPERATOR:
        return f"user {name} reset on {secret} ~* &* +@all"
    access = USERS[name]
    rules = [
        *access.keys,
        *(f"&{channel}" for channel in access.channels),
        # Say hello and ping, but see or close nobody else's connection; then what the role needs.
        "-@all +@connection -@admin -@dangerous +@transaction",
        *(f"+{command}" for command in (*COMMANDS, *access.more)),
    ]
    return f"user {name} reset on {secret} {' '.join(rules)}"


if __name__ == "__main__":
    sys.stdout.write(acl_example())
