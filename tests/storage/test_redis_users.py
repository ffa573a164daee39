"""Redis' users: what each kind of process may do, what it is refused, and who else gets in."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from chains.queues import MAINTENANCE, QUEUES
from storage import redis_users
from storage.embedded import redis as embedded_redis
from tests.conftest import Servers
from tests.docs.pages import ROOT

As = Callable[[str], redis.Redis]

# Of a process that was taken over: the server, other clients, other processes' keys, all keys there are.
HARMFUL = [
    "FLUSHALL", "FLUSHDB", "CONFIG GET requirepass", "CONFIG SET dir /tmp", "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE",
    "SHUTDOWN NOSAVE", "SAVE", "BGREWRITEAOF", "DEBUG SLEEP 0", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal",
    "ACL LIST", "ACL SETUSER web on nopass", "ACL WHOAMI", "REPLICAOF 127.0.0.1 1", "MODULE LIST", "FUNCTION LIST",
    "SWAPDB 0 1", "MIGRATE 127.0.0.1 1 baton:x 0 1", "PUBSUB CHANNELS", "INFO", "SLOWLOG GET", "GET somebody",
    "SET somebody 1", "SUBSCRIBE somebody", "PSUBSCRIBE *", "PUBLISH somebody x", "SORT baton:x BY nosort GET *",
    "EVAL return(redis.call('FLUSHALL')) 0", "EVAL return(redis.call('GET','somebody')) 0", "SCRIPT FLUSH",
    "SCRIPT KILL",
]  # fmt: skip
NOT_ITS_OWN = {
    "web": [
        "LPUSH maintenance x", "BRPOP agents 1", "LRANGE agents 0 -1", "GET celery-task-meta-x", "HGETALL unacked",
        "PUBLISH /0.celery.pidbox x", "PUBLISH /0.celeryev/worker x", "SADD _kombu.binding.x y",
        "LPUSH x.celery.pidbox y",
    ],
    "flower": [
        "LPUSH agents x", "LRANGE agents 0 -1", "BRPOP maintenance 1", "GET celery-task-meta-x", "HGETALL unacked",
        "GET baton:x", "SET baton:x 1", "SUBSCRIBE baton:tenant:run:x", "PUBLISH baton:tenant:run:x y",
        "PUBLISH celery-task-meta-x y",
    ],
    "worker": ["SUBSCRIBE +switch-master", "GET sessions"],
}  # fmt: skip
ITS_OWN = {
    "web": [
        "LPUSH agents x",
        "LLEN maintenance",
        "SET baton:x 1",
        "PUBLISH baton:t:run:x y",
        "SET celery-task-meta-x y",
    ],
    "worker": ["LPUSH maintenance x", "RPOP agents", "HSET unacked a b", "PUBLISH /0.celeryev/worker x", "GET baton:x"],
    "flower": ["PUBLISH /0.celery.pidbox x", "RPOP u.reply.celery.pidbox", "LLEN celeryev.x"],
}


@pytest.fixture
def as_user(servers: Servers) -> Iterator[As]:
    """A client of the session's Redis as one of its users."""
    kept = json.loads((servers.data_dir / "redis" / "server.json").read_text())
    with ExitStack() as stack:

        def connect(user: str) -> redis.Redis:
            made = redis.Redis(port=kept["port"], username=user, password=kept["passwords"][user], socket_timeout=5)
            stack.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize("user", redis_users.USERS)
@pytest.mark.parametrize("command", HARMFUL)
def test_no_process_may_harm_the_server_or_see_the_others(as_user: As, user: str, command: str) -> None:
    with pytest.raises(redis.ResponseError, match=r"(?i)permission|not allowed"):
        as_user(user).execute_command(*command.split())


@pytest.mark.parametrize(("user", "command"), [(user, one) for user, every in NOT_ITS_OWN.items() for one in every])
def test_a_process_may_not_do_what_is_anothers(as_user: As, user: str, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        as_user(user).execute_command(*command.split())


@pytest.mark.parametrize(("user", "command"), [(user, one) for user, every in ITS_OWN.items() for one in every])
def test_a_process_may_do_its_work(as_user: As, redis_client: redis.Redis, user: str, command: str) -> None:
    redis_client.execute_command("ACL", "LOG", "RESET")
    as_user(user).execute_command(*command.split())
    assert redis_client.execute_command("ACL", "LOG") == []
    redis_client.delete("agents", "maintenance", "unacked", "celery-task-meta-x", "baton:x")


def test_the_operator_may_everything(as_user: As) -> None:
    operator = as_user(redis_users.OPERATOR)
    assert operator.execute_command("ACL", "WHOAMI") == b"operator"
    assert operator.config_get("appendonly") == {"appendonly": "yes"}
    assert set(operator.acl_users()) == {"default", *redis_users.ROLES}


@pytest.mark.parametrize("said", ["PING", "AUTH x", "AUTH default x", "AUTH web x", "AUTH web ", "HELLO 3"])
def test_nobody_else_gets_in(servers: Servers, said: str) -> None:
    port = json.loads((servers.data_dir / "redis" / "server.json").read_text())["port"]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
        stranger.sendall(f"{said}\r\nGET baton:marker\r\n".encode())
        told = b""
        while told.count(b"\r\n") < 2:
            told += stranger.recv(4096)
    assert all(line.startswith((b"-NOAUTH", b"-WRONGPASS", b"-ERR")) for line in told.split(b"\r\n") if line)


def test_no_password_stands_where_others_read_it(servers: Servers) -> None:
    folder = servers.data_dir / "redis"
    passwords = json.loads((folder / "server.json").read_text())["passwords"]
    assert len(set(passwords.values())) == len(redis_users.ROLES)
    for name in ("redis.conf", "users.acl", "server.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    told = (folder / "redis.conf").read_text() + (folder / "users.acl").read_text()
    told += " ".join(embedded_redis.RedisPlan([embedded_redis.binary(), "x"], folder, 1, "", {}).argv)
    assert not [one for one in passwords.values() if one in told]


def test_the_queues_are_those_of_the_engine() -> None:
    assert {*redis_users.NODE_QUEUES, redis_users.MAINTENANCE} == set(QUEUES)
    assert redis_users.MAINTENANCE == MAINTENANCE


def test_the_example_is_made_from_the_table() -> None:
    example = (ROOT / "deploy" / "redis" / "users.acl.example").read_text(encoding="utf-8")
    assert example == redis_users.acl_example(), "run: python -m storage.redis_users > deploy/redis/users.acl.example"
