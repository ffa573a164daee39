"""A subject that asks to be forgotten is: in every table, every blob, every key of Redis, whatever dies meanwhile."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from psycopg2.extensions import connection as Connection

from chains import erasure
from chains.advance import deliver
from chains.answer import answer
from chains.fork import fork
from errors import UnknownChain
from policy import audit_chain
from storage import blobs, broker, model_cache, model_calls, sessions
from storage import erasure as storage_erasure
from storage.audit import Entry
from storage.migrations.access import TENANT_COLUMN
from storage.model_calls import NewCall, Usage
from storage.model_policies import set_policy
from storage.postgres import session
from storage.reads import audit, erasures
from storage.tables import uuid7
from tests.conftest import Servers
from tests.engine.conftest import Runs
from tests.engine.workers import WorkerProcess, Workers

Json = Any
SUBJECT, OTHER = "subject-7731", "other-5520"
MARKERS = ("markeralpha", "标记贝塔", "markergamma")
HASH = "hmac-sha256:" + "ab" * 32


def ask(runs: Runs, **whom: str) -> UUID:
    """Ask for an erasure as the API does; its id."""
    entry = Entry("user:officer", "erasure.request", "erasure", after={"subject": HASH})
    erasure_id, outcome = erasure.request(runs.tenant, subject_hash=HASH, entry=entry, **whom)
    deliver(outcome)
    return erasure_id


def done(runs: Runs, erasure_id: UUID, seconds: float = 30.0) -> dict[str, Any]:
    """The receipt, once it is there."""
    run_id = erasures.get(runs.tenant, erasure_id)["run_id"]
    runs.wait(run_id, seconds=seconds)
    return erasures.get(runs.tenant, erasure_id)


def talk(runs: Runs, user_id: str, words: tuple[str, ...], *, waiting: bool = True) -> list[UUID]:
    """What a user leaves: a session with a script and its turns, a run that waits, a fork, blobs, effects, model calls,
    cached answers, results in Redis.
    """
    name, said = f"session-of-{user_id}", " ".join(words)
    sessions.create(runs.tenant, {"nickname": said}, user_id, name)
    script = runs.submit(
        {"query": f"给{said}写一段话术"}, "script", session_id=name, user_id=user_id, idem_key=f"key {said}"
    )
    runs.wait(script, "completed", "paused", seconds=20)
    if runs.status(script) == "paused":  # it asked back
        answer(runs.tenant, script, {"text": "随便"})
        runs.wait(script, "completed", seconds=20)
    probe = runs.submit({"steps": 2, "payload_bytes": 100_000, "effect": "idempotent"}, user_id=user_id)
    runs.wait(probe)
    blobs.put(runs.tenant, probe, said.encode())
    made = [script, probe]
    if waiting:
        made.append(runs.submit({"sleep_ms": 60_000, "steps": 1}, user_id=user_id))
        runs.wait(made[-1], "running")
    leave_traces(runs.tenant, probe, said)
    return made


def leave_traces(tenant: UUID, run_id: UUID, said: str) -> None:
    """A model call with its texts, an answer in each shared cache, the run's result for Celery clients."""
    set_policy(tenant, record_text=True)
    call = NewCall(uuid7(), tenant, run_id, "1", "probe", "probe", "chat", "vllm", "b", "m")
    model_calls.open_call(call)
    model_calls.close_call(
        call, Usage(3, 4), status="succeeded", prompt=[{"role": "user", "content": said}], answer=said
    )
    model_cache.put(tenant, "k" * 64, said.encode(), 3600)
    broker.tell(*broker.end(run_id, "completed", {"said": said}))
    with session(tenant) as db:
        db.connection().exec_driver_sql(
            "INSERT INTO semantic_answers (id, tenant_id, scope, question_hash, embedding, answer, expires_at)"
            " VALUES (%s, %s, 's', %s, %s, %s, now() + interval '1 day') ON CONFLICT DO NOTHING",
            (uuid7(), tenant, said.encode(), [0.5] * 512, said),
        )


def dump(owner: Connection, tenant: UUID, servers: Servers, client: redis.Redis) -> str:
    """All that is kept anywhere for a tenant, as text."""
    found: list[str] = []
    with owner.cursor() as cursor:
        for table, column in TENANT_COLUMN.items():
            cursor.execute(f"SELECT t::text FROM {table} t WHERE {column} = %s", (str(tenant),))
            found += [f"{table} {row[0]}" for row in cursor.fetchall()]
    for path in (servers.data_dir / "blobs").rglob("*"):
        if path.is_file():
            found.append(f"{path} {path.read_bytes().decode(errors='replace')}")
    for key in client.scan_iter():
        found.append(f"{key.decode()} {value_of(client, key)}")
    return "\n".join(found)


def value_of(client: redis.Redis, key: bytes) -> str:
    """All that stands under a key."""
    readers: dict[bytes, Any] = {
        b"string": lambda: (client.get(key) or b"").decode(errors="replace"),  # type: ignore[union-attr]
        b"set": lambda: client.smembers(key),
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"zset": lambda: client.zrange(key, 0, -1),
    }
    kind = client.type(key)
    return "" if kind == b"none" else str(readers[kind]())  # type: ignore[index]


def escaped(word: str) -> tuple[str, ...]:
    """A word as it may stand in JSON, in Python's and in Postgres' notation of bytes."""
    return word, json.dumps(word)[1:-1], word.encode().hex(), repr(word.encode())[2:-1]


def rows_of(runs: Runs, run_ids: list[UUID], user_id: str) -> list[Any]:
    """Every row of a user's runs and sessions."""
    ids = ",".join(f"'{one}'" for one in run_ids)
    queries = [f"SELECT t::text FROM runs t WHERE id IN ({ids}) ORDER BY 1"]
    queries += [
        f"SELECT t::text FROM {table} t WHERE run_id IN ({ids}) ORDER BY 1"
        for table in ("segments", "steps", "effects", "events", "turns")
    ]
    queries.append(f"SELECT t::text FROM sessions t WHERE user_id = '{user_id}' ORDER BY 1")
    return [runs.rows(query) for query in queries]


def test_nothing_of_the_subject_is_left_and_all_of_another_is(
    worker: WorkerProcess, runs: Runs, owner_db: Connection, servers: Servers, redis_client: redis.Redis
) -> None:
    # Given two users of a tenant, each with a session, runs that are done and one that runs
    theirs = talk(runs, SUBJECT, MARKERS)
    others = talk(runs, OTHER, ("quietword",), waiting=False)
    before, kept = dump(owner_db, runs.tenant, servers, redis_client), rows_of(runs, others, OTHER)
    for word in (SUBJECT, *MARKERS):
        assert any(form in before for form in escaped(word)), word
    # When the one asks to be forgotten
    receipt = done(runs, ask(runs, user_id=SUBJECT))
    # Then the receipt counts what went, and nothing anywhere tells of it
    assert receipt["status"] == "done" and receipt["done_at"] is not None
    counts = receipt["counts"]
    assert (counts["runs"], counts["sessions"], counts["runs_cancelled"]) == (len(theirs), 1, 1)
    assert counts["turns"] >= 2 and counts["cached_answers"] >= 2
    after = dump(owner_db, runs.tenant, servers, redis_client)
    for word in (SUBJECT, *MARKERS):
        assert not [line[:200] for line in after.splitlines() for form in escaped(word) if form in line], word
    assert {line.split()[0] for line in after.splitlines() for one in theirs if str(one) in line} == {"llm_call_logs"}
    assert rows_of(runs, others, OTHER) == kept
    assert blobs.get(runs.rows("SELECT output_ref FROM steps WHERE run_id = %s LIMIT 1", others[1])[0][0])
    # And the record says who asked and that it is done, under a keyed hash
    told = [(one["action"], one["actor"], one["after"]["subject"]) for one in audit.page(runs.tenant)[0]]
    assert told == [("erasure.done", "system:erasure", HASH), ("erasure.request", "user:officer", HASH)]
    assert audit.page(runs.tenant)[0][0]["after"]["counts"] == counts
    assert verified(runs.tenant)


def verified(tenant: UUID) -> bool:
    with audit.whole_chain(tenant) as (head, stored):
        return audit_chain.verify(tenant, stored, head).whole


def test_a_session_is_forgotten_with_the_forks_of_its_runs(worker: WorkerProcess, runs: Runs) -> None:
    """Given a session with a run, a fork of it, and the same user's other run, then only the session's are gone."""
    name = f"s-{uuid4()}"
    inside = runs.submit({"steps": 3}, session_id=name, user_id="u")
    outside = runs.submit({"steps": 3}, user_id="u")
    runs.wait(inside)
    runs.wait(outside)
    forked = fork(runs.tenant, inside, "1")
    runs.wait(forked)
    receipt = done(runs, ask(runs, session_id=name))
    assert receipt["counts"]["runs"] == 2
    with pytest.raises(UnknownChain):
        fork(runs.tenant, UUID(str(receipt["run_id"])), "privacy.stop_runs")
    left = runs.rows("SELECT id FROM runs WHERE tenant_id = %s AND chain = 'probe'", runs.tenant)
    assert [UUID(str(one)) for (one,) in left] == [outside]


def test_workers_that_die_in_the_middle_leave_one_receipt(
    workers: Workers, runs: Runs, tmp_path: Path, owner_db: Connection
) -> None:
    """Given workers that die when the runs are deleted, and again when the receipt is written, before the step was
    committed, then each step runs again, and what was deleted once is counted once."""
    steps = ("erase_runs", "receipt")
    points = ",".join(f"after_node@{step}=kill:{tmp_path / step}" for step in steps)
    workers.stop_all()
    deadly = workers.start(immortal=True, BATON_FAULT_POINTS=points)
    name = f"s-{uuid4()}"
    for number in range(3):
        runs.wait(runs.submit({"steps": 1}, session_id=name, user_id=f"u{number}"))
    erasure_id = ask(runs, session_id=name)
    receipt = done(runs, erasure_id, seconds=60)
    assert deadly.exit_codes == [-signal.SIGKILL] * 2
    assert receipt["counts"] == {"runs_cancelled": 0, "runs": 3, "turns": 0, "sessions": 1, "cached_answers": 0}
    actions = [one["action"] for one in audit.page(runs.tenant)[0]]
    assert actions == ["erasure.done", "erasure.request"]
    assert storage_erasure.subject_of(runs.tenant, erasure_id) is None
    assert runs.rows("SELECT subject FROM erasures WHERE id = %s", erasure_id) == [(None,)]
    workers.stop_all()


@pytest.mark.usefixtures("engine_env")
def test_an_id_that_was_never_asked_for_erases_nothing(worker: WorkerProcess, runs: Runs) -> None:
    kept = runs.submit({"steps": 1}, user_id="u")
    runs.wait(kept)
    entry = Entry("user:officer", "erasure.request", "erasure")
    erasure_id, outcome = erasure.request(runs.tenant, user_id="u", subject_hash=HASH, entry=entry)
    runs.rows("UPDATE erasures SET id = %s WHERE id = %s RETURNING id", uuid4(), erasure_id)
    deliver(outcome)
    runs.wait(outcome.run_id)
    assert runs.status(kept) == "completed"
