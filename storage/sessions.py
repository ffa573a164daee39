"""Sessions and their turns: what a conversation knows, and what was said in it.

A session in public is one flat JSON object: {"session_id", "user_id", "status", "created_at", "updated_at"} and the
fields that its maker gave (influencer_name, category, ...); its detail has "turns" as well.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from errors import FieldError, InvalidInput, LimitReached, NotFound
from storage import postgres
from storage.tables import Session, Turn

Json = Any
ROLES = ("user", "assistant")
MEMORY = "memory"  # a field of ours in the session's data: what older turns said, see agents/script/memory.py
KINDS = "kinds"  # within it, by their numbers: what the turns are that it does not cover yet
FULL_SECONDS = 3600.0  # no session goes by itself: it is somebody's to raise the limit


def create(
    tenant_id: UUID | str,
    data: Mapping[str, Json],
    user_id: str | None = None,
    session_id: str | None = None,
    *,
    limit: int | None = None,
) -> dict[str, Json]:
    """Make a session with these fields and return it; an id that exists already returns the session that has it.

    Raises LimitReached where the tenant has `limit` others already.
    """
    new_id = session_id or str(uuid4())
    values = {"tenant_id": UUID(str(tenant_id)), "id": new_id, "user_id": user_id, "data": dict(data)}
    with postgres.session(UUID(str(tenant_id))) as db:
        made = db.scalar(insert(Session).values(**values).on_conflict_do_nothing().returning(Session.id))
        if made is not None and limit is not None:
            db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_lock_of_sessions(tenant_id), 0))))
            some = select(Session.id).where(Session.tenant_id == values["tenant_id"]).limit(limit + 1).subquery()
            _refuse_more(db.scalar(select(func.count()).select_from(some)) or 0, limit)
        return public(db.get_one(Session, (values["tenant_id"], new_id)))


def hold_to(db: postgres.Hot, tenant_id: UUID, limit: int) -> int:
    """How many sessions the tenant has, right after the insert of a new one and in its transaction.

    Raises LimitReached for more than `limit`. Exact: whoever has the lock sees all sessions of those who had it before,
    and its own.
    """
    db.one("lock_session", _lock_of_sessions(tenant_id))
    row = db.one("sessions_up_to", tenant_id, limit)
    count = int(row[0]) if row else 0
    _refuse_more(count, limit)
    return count


def _lock_of_sessions(tenant_id: UUID | str) -> str:
    return f"{tenant_id} sessions"


def _refuse_more(count: int, limit: int) -> None:
    if count > limit:
        raise LimitReached("sessions", FULL_SECONDS, f"This tenant may have {limit:,} sessions, and has them.")


def ensure(tenant_id: UUID | str, session_id: str) -> dict[str, Json]:
    """The session of this id, made empty where there was none."""
    tenant = UUID(str(tenant_id))
    with postgres.session(tenant) as db:
        found = db.get(Session, (tenant, session_id))
        if found is not None:
            return public(found)
    return create(tenant, {}, session_id=session_id)


def get(tenant_id: UUID | str, session_id: str, turns_limit: int = 50) -> dict[str, Json]:
    """The session with its last turns, oldest first. NotFound where this tenant has none of this id."""
    tenant = UUID(str(tenant_id))
    with postgres.session(tenant) as db:
        found = db.get(Session, (tenant, session_id))
        if found is None:
            raise NotFound(f"there is no session {session_id}")
        shape = public(found)
    return {**shape, "turns": turns(tenant, session_id, turns_limit)}


def list_page(tenant_id: UUID | str, limit: int = 50, cursor: str | None = None) -> dict[str, Json]:
    """{"items": [sessions, newest first], "next_cursor": str|None}. InvalidInput for a cursor that is none of ours."""
    tenant = UUID(str(tenant_id))
    query = select(Session).where(Session.tenant_id == tenant)
    if cursor:
        query = query.where(tuple_(Session.created_at, Session.id) < decoded(cursor))
    query = query.order_by(Session.created_at.desc(), Session.id.desc()).limit(limit + 1)
    with postgres.session(tenant) as db:
        rows = list(db.scalars(query))
    more = len(rows) > limit
    return {
        "items": [public(row) for row in rows[:limit]],
        "next_cursor": encoded(rows[limit - 1]) if more else None,
    }


def turns(tenant_id: UUID | str, session_id: str, limit: int = 50) -> list[dict[str, Json]]:
    """The last `limit` turns, oldest first: [{"no", "run_id", "role", "content", "created_at"}]."""
    tenant = UUID(str(tenant_id))
    query = select(Turn).where(Turn.tenant_id == tenant, Turn.session_id == session_id)
    with postgres.session(tenant) as db:
        newest_first = list(db.scalars(query.order_by(Turn.no.desc()).limit(limit)))
    return [
        {
            "no": turn.no,
            "run_id": str(turn.run_id) if turn.run_id else None,
            "role": turn.role,
            "content": turn.content,
            "created_at": rfc3339(turn.created_at),
        }
        for turn in reversed(newest_first)
    ]


def remembered(
    tenant_id: UUID | str, session_id: str, limit: int = 200
) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """(what is remembered of older turns, {} at first; the last `limit` turns since then, oldest first).

    The memory's "upto" is the number of the last turn that it covers. A turn: {"no", "run_id", "role", "content",
    "kind"}; kind: what `append_turn` was told, None where it was told nothing.
    """
    tenant = UUID(str(tenant_id))
    with postgres.session(tenant) as db:
        found = db.get(Session, (tenant, session_id))
        memory = dict((found.data or {}).get(MEMORY) or {}) if found is not None else {}
        query = select(Turn).where(
            Turn.tenant_id == tenant, Turn.session_id == session_id, Turn.no > int(memory.get("upto") or 0)
        )
        newest_first = list(db.scalars(query.order_by(Turn.no.desc()).limit(limit)))
    kinds = memory.pop(KINDS, {})
    return memory, [
        {
            "no": turn.no,
            "run_id": str(turn.run_id) if turn.run_id else None,
            "role": turn.role,
            "content": turn.content,
            "kind": kinds.get(str(turn.no)),
        }
        for turn in reversed(newest_first)
    ]


def turn(tenant_id: UUID | str, session_id: str, no: int) -> dict[str, Json]:
    """One turn by its number. NotFound where this tenant's session has none of it."""
    tenant = UUID(str(tenant_id))
    with postgres.session(tenant) as db:
        found = db.get(Turn, (tenant, session_id, no))
    if found is None:
        raise NotFound(f"session {session_id} has no turn {no}")
    run_id = str(found.run_id) if found.run_id else None
    return {"no": found.no, "run_id": run_id, "role": found.role, "content": found.content}


def keep_memory(tenant_id: UUID | str, session_id: str, memory: Mapping[str, Json]) -> bool:
    """Store what is remembered of turns up to memory["upto"]; False where as much or more is remembered already.

    Safe to repeat, and in two runs at once: the memory only ever moves forward.
    """
    tenant = UUID(str(tenant_id))
    with postgres.session(tenant) as db:
        found = db.get(Session, (tenant, session_id), with_for_update=True)
        if found is None:
            return False
        before = (found.data or {}).get(MEMORY) or {}
        if int(before.get("upto") or 0) >= int(memory["upto"]):
            return False
        kinds = {no: kind for no, kind in before.get(KINDS, {}).items() if int(no) > int(memory["upto"])}
        found.data = {**(found.data or {}), MEMORY: {**memory, KINDS: kinds}}
        return True


def append_turn(
    tenant_id: UUID | str, session_id: str, *, run_id: UUID | str, role: str, content: str, kind: str | None = None
) -> int:
    """Add a turn and return its number; the same run's turn of the same role is added once, whatever the retries.

    role: "user" or "assistant"; kind: what `remembered` tells of it. NotFound where this tenant has no such session.
    """
    tenant, run = UUID(str(tenant_id)), UUID(str(run_id))
    if role not in ROLES:
        raise ValueError(f"role is {role!r}, not one of {ROLES}")
    of_session = (Turn.tenant_id == tenant, Turn.session_id == session_id)
    with postgres.session(tenant) as db:
        # The session's row is the lock under which its turns are numbered.
        row = db.get(Session, (tenant, session_id), with_for_update=True)
        if row is None:
            raise NotFound(f"there is no session {session_id}")
        there = db.scalar(select(Turn.no).where(*of_session, Turn.run_id == run, Turn.role == role))
        if there is not None:
            return there
        number = int(db.scalar(select(func.coalesce(func.max(Turn.no), 0)).where(*of_session)) or 0) + 1
        db.add(Turn(tenant_id=tenant, session_id=session_id, no=number, run_id=run, role=role, content=content))
        row.updated_at = func.now()
        if kind is not None:
            memory = (row.data or {}).get(MEMORY) or {}
            kinds = {**memory.get(KINDS, {}), str(number): kind}
            row.data = {**(row.data or {}), MEMORY: {**memory, KINDS: kinds}}
        return number


def public(row: Session) -> dict[str, Json]:
    """A session as clients see it; a field of its maker never hides one of ours."""
    return {
        **{name: value for name, value in (row.data or {}).items() if name != MEMORY},
        "session_id": row.id,
        "user_id": row.user_id,
        "status": row.status,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def rfc3339(at: datetime) -> str:
    """A time in UTC as RFC 3339 with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def encoded(row: Session) -> str:
    """The cursor of the page that follows this session."""
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()}|{row.id}".encode()).decode()


def decoded(cursor: str) -> tuple[datetime, str]:
    """The place that a cursor names."""
    try:
        at, _, session_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        return datetime.fromisoformat(at), session_id
    except (binascii.Error, ValueError) as wrong:
        raise InvalidInput(errors=[FieldError(field="cursor", message="is none that a page gave")]) from wrong
