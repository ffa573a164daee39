"""What an erasure deletes piece by piece, as the node would have it done, again after a failure in the middle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection
from sqlalchemy import select

from errors import LastOwner
from storage import blobs, erasure, retention, sessions, tenants
from storage.audit import Entry
from storage.audit_tables import Erasure
from storage.erasure import Subject
from storage.identity_tables import ApiKey, GroupMember, RefreshToken, User, UserPassword
from storage.postgres import keeper_session, session
from storage.reads import audit
from storage.tables import Run, Segment, uuid7
from tests.storage.conftest import rows

HASH = "hmac-sha256:" + "cd" * 32


def subject(
    tenant: UUID, user_id: str | None = None, session_id: str | None = None, run_id: UUID | None = None
) -> Subject:
    """A request to forget somebody, written as chains/erasure.py does."""
    made = uuid7()
    with session(tenant) as db:
        told = erasure.described(user_id, session_id)
        asked = {"subject": told, "subject_hash": HASH.encode(), "run_id": run_id, "requested_by": "user:1"}
        db.add(Erasure(id=made, tenant_id=tenant, **asked))
    found = erasure.subject_of(tenant, made)
    assert found is not None
    return found


def run(tenant: UUID, status: str = "completed", **fields: object) -> UUID:
    run_id = uuid7()
    with session(tenant) as db:
        told = {"chain": "probe", "chain_version": "1", "trace_id": "t", "input": {}, "status": status}
        db.add(Run(id=run_id, tenant_id=tenant, **told | fields))
    return run_id


def left(tenant: UUID) -> set[UUID]:
    with session(tenant) as db:
        return set(db.scalars(select(Run.id)))


def counts(tenant: UUID, found: Subject) -> object:
    with session(tenant) as db:
        return db.get_one(Erasure, found.erasure_id).counts


def erase_runs(found: Subject) -> None:
    """As the node does it."""
    while erasure.erase_some_runs(found):
        pass


def test_a_failure_in_the_middle_loses_no_run_and_counts_none_twice(
    tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a blob store that fails at the third of five runs, when it is done again, then all went, counted once."""
    made = [run(tenant, user_id="ada") for _ in range(5)]
    other = run(tenant, user_id="bob")
    found = subject(tenant, user_id="ada")
    monkeypatch.setattr(erasure, "BATCH_RUNS", 1)
    delete = blobs.delete_run
    asked: list[UUID] = []

    def failing(tenant_id: UUID, run_id: UUID) -> None:
        asked.append(run_id)
        if len(asked) == 3:
            raise OSError("the store is away")
        delete(tenant_id, run_id)

    monkeypatch.setattr(blobs, "delete_run", failing)
    with pytest.raises(OSError):
        erase_runs(found)
    assert left(tenant) == {*made[:3], other} and counts(tenant, found) == {"turns": 0, "runs": 2}
    erase_runs(found)
    assert left(tenant) == {other} and counts(tenant, found) == {"turns": 0, "runs": 5}


def test_whose_a_run_is(tenant: UUID) -> None:
    """A user has the runs for them, those of their sessions, those that they started for nobody else; and all forks."""
    user = uuid7()
    me = str(user)
    sessions.create(tenant, {}, me, "mine")
    sessions.create(tenant, {}, "bob", "bobs")
    sessions.create(tenant, {}, None, "nobodys")
    mine = [
        run(tenant, user_id=me),
        run(tenant, session_id="mine"),
        run(tenant, actor=f"user:{me}"),
        run(tenant, actor=f"user:{me}", session_id="nobodys"),
        run(tenant, session_id="bobs", user_id=me),
    ]
    mine.append(run(tenant, parent_run_id=mine[0]))
    mine.append(run(tenant, parent_run_id=mine[-1]))
    not_mine = {
        run(tenant, user_id="bob", actor=f"user:{me}"),
        run(tenant, session_id="bobs", actor=f"user:{me}"),
        run(tenant, chain="erasure", actor=f"user:{me}"),
        run(tenant),
    }
    found = subject(tenant, user_id=me)
    assert erasure.remains(found)
    erase_runs(found)
    erasure.erase_sessions(found)
    assert left(tenant) == not_mine and not erasure.remains(found)
    assert {one["session_id"] for one in sessions.list_page(tenant)["items"]} == {"bobs", "nobodys"}


def test_what_was_said_in_anothers_session_goes_with_its_memory(tenant: UUID) -> None:
    sessions.create(tenant, {"nickname": "Bob"}, "bob", "bobs")
    mine, bobs = run(tenant, session_id="bobs", user_id="ada"), run(tenant, session_id="bobs", user_id="bob")
    for one, content in ((mine, "what ada said"), (bobs, "what bob said")):
        sessions.append_turn(tenant, "bobs", run_id=one, role="user", content=content)
    sessions.keep_memory(tenant, "bobs", {"upto": 1, "summary": "ada said something"})
    erase_runs(subject(tenant, user_id="ada"))
    assert [one["content"] for one in sessions.turns(tenant, "bobs")] == ["what bob said"]
    assert sessions.remembered(tenant, "bobs")[0] == {}
    assert sessions.get(tenant, "bobs")["nickname"] == "Bob"


def test_unfinished_runs_are_asked_to_stop_and_are_never_deleted(tenant: UUID) -> None:
    unfinished = [run(tenant, status, user_id="ada") for status in ("pending", "running", "paused")]
    found = subject(tenant, user_id="ada")
    erasure.stop_runs(found)
    erasure.stop_runs(found)
    erase_runs(found)
    assert left(tenant) == set(unfinished) and erasure.unfinished(found) == 3
    assert counts(tenant, found) == {"runs_cancelled": 3}
    with session(tenant) as db:
        assert {row.stop for row in db.scalars(select(Run))} == {"cancelled"}


# ------------------------------------------------------------------------------------------------ a user of our own


def user(tenant: UUID, name: str, roles: list[str]) -> UUID:
    made = uuid7()
    with session(tenant) as db:
        email = f"{name}@example.com"
        db.add(User(id=made, tenant_id=tenant, email=email, email_key=email, name=name, roles=roles))
    return made


def test_a_users_row_names_nobody_any_more(tenant: UUID, owner_db: Connection) -> None:
    user(tenant, "owner", ["owner"])
    ada = user(tenant, "ada", ["admin"])
    rows(owner_db, "INSERT INTO user_passwords VALUES (%s, %s, 'hash')", (str(ada), str(tenant)))
    prefix = tenants.create_api_key(tenant, "ada's laptop").split("_")[1]
    rows(owner_db, "UPDATE api_keys SET user_id = %s WHERE prefix = %s", (str(ada), prefix))
    by_ada = run(tenant, user_id="bob", actor=f"user:{ada}")
    found = subject(tenant, user_id=str(ada))
    for _ in range(2):
        erasure.erase_user(found)
    with keeper_session() as db:
        row, key = db.get_one(User, ada), db.scalars(select(ApiKey).where(ApiKey.prefix == prefix)).one()
        assert (row.name, row.email, row.status, row.roles) == (found.alias, f"{found.alias}@invalid", "disabled", [])
        assert key.revoked_at is not None and key.name == found.alias
        for table in (UserPassword, GroupMember, RefreshToken):
            assert db.scalars(select(table).where(table.user_id == ada)).all() == []
        assert db.get_one(Run, by_ada).actor == f"user:{found.alias}"
    assert counts(tenant, found) == {"users": 1}


def test_the_last_owner_stays(tenant: UUID) -> None:
    owner = user(tenant, "owner", ["owner"])
    with pytest.raises(LastOwner):
        erasure.erase_user(subject(tenant, user_id=str(owner)))
    with session(tenant) as db:
        assert db.get_one(User, owner).name == "owner"


def test_a_clients_own_name_for_somebody_is_no_user_of_ours(tenant: UUID) -> None:
    found = subject(tenant, user_id="shop-user-7")
    erasure.erase_user(found)
    assert counts(tenant, found) is None


def test_a_node_that_was_cut_off_is_waited_for_until_its_deadline(tenant: UUID) -> None:
    """Given a cancelled run with a step that committed and one that did not stop, then it is waited for; no longer when
    the time of that one is over."""
    ended = run(tenant, "cancelled", user_id="ada")
    soon = datetime.now(UTC) + timedelta(minutes=1)
    told = {
        "run_id": ended,
        "tenant_id": tenant,
        "keys": ["1"],
        "nodes": ["probe.step"],
        "queue": "agents",
        "open": False,
    }
    with session(tenant) as db:
        db.add(Segment(no=1, token=None, deadline_at=soon, **told))
        db.add(Segment(no=2, token=uuid7(), deadline_at=soon, **told))
    found = subject(tenant, user_id="ada")
    assert erasure.unfinished(found) == 1
    with session(tenant) as db:
        db.get_one(Segment, (ended, 2)).deadline_at = datetime.now(UTC)
    assert erasure.unfinished(found) == 0


def test_an_earlier_request_that_was_given_up_names_nobody_for_ever(tenant: UUID) -> None:
    """Given a subject's erasures of which one was cancelled and one is at work, when another is done, then so is the
    cancelled one, and the one at work is left to itself."""
    given_up, at_work = (
        subject(tenant, user_id="ada", run_id=run(tenant, status)) for status in ("cancelled", "running")
    )
    found = subject(tenant, user_id="ada")
    entry = Entry("system:erasure", "erasure.done", f"erasure:{found.erasure_id}", after={"subject": HASH})
    for _ in range(2):
        erasure.finish(found, entry)
    assert erasure.subject_of(tenant, given_up.erasure_id) is None
    assert erasure.subject_of(tenant, at_work.erasure_id) == at_work
    told = {entry["resource"] for entry in audit.page(tenant)[0]}
    assert told == {f"erasure:{one.erasure_id}" for one in (given_up, found)}


# ----------------------------------------------------------------------------------------------------- model calls


def test_what_models_were_asked_goes_with_the_run(tenant: UUID, owner_db: Connection) -> None:
    """Given calls of two runs with their texts, when one run goes, then its texts go, and what it cost stays."""
    gone, kept = run(tenant), run(tenant)
    columns = "call_id, tenant_id, run_id, chain, agent_id, operation, provider, backend, model, prompt_version"
    for one in (gone, kept):
        rows(
            owner_db,
            f"INSERT INTO llm_call_logs ({columns}, status, tokens_in, prompt, answer)"
            " VALUES (%s, %s, %s, '', '', 'chat', 'vllm', 'b', 'm', '', 'succeeded', 7, '[1]', 'said')",
            (str(uuid7()), str(tenant), str(one)),
        )
    with keeper_session() as db:
        assert retention.remove_runs(db, [gone]) == 1
    found = "SELECT prompt::text, answer, tokens_in FROM llm_call_logs WHERE run_id = %s"
    assert rows(owner_db, found, (str(gone),)) == [(None, None, 7)]
    assert rows(owner_db, found, (str(kept),)) == [("[1]", "said", 7)]
