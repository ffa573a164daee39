"""What a tenant may ask of models: which ones, how much a day, and whether texts are recorded.

    policy = policy_of(tenant_id)
    set_policy(tenant_id, tokens_per_day=1_000_000, record_text=True)

Only the keeper's role may write them: a node runs as the application's and cannot raise its own budget.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TypedDict, Unpack
from uuid import UUID

from cachetools import TTLCache
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert

from settings import settings
from storage import audit
from storage.audit import EntryMaker
from storage.model_tables import ModelPolicy
from storage.postgres import keeper_session, session

REMEMBERED_SECONDS = 2.0
REMEMBERED_TENANTS = 10_000


@dataclass(frozen=True)
class Policy:
    """allowed_models: patterns of names of backends or models, None for all; the limits: None for the settings', 0 for
    no limit; record_text: whether prompts and answers are kept, masked."""

    allowed_models: tuple[str, ...] | None = None
    tokens_per_day: int | None = None
    money_per_day: Decimal | None = None
    record_text: bool = False


class Changes(TypedDict, total=False):
    """The fields of a policy that are to change."""

    allowed_models: Sequence[str] | None
    tokens_per_day: int | None
    money_per_day: Decimal | None
    record_text: bool


_lock = threading.Lock()
_known: TTLCache[UUID, Policy] = TTLCache(REMEMBERED_TENANTS, REMEMBERED_SECONDS)


def policy_of(tenant_id: UUID) -> Policy:
    """The tenant's policy, at most 2 s old; a budget is checked against the row itself (storage/model_calls.py)."""
    with _lock:
        known = _known.get(tenant_id)
    if known is not None:
        return known
    with session(tenant_id) as db:
        found = _policy(db.get(ModelPolicy, tenant_id))
    with _lock:
        _known[tenant_id] = found
    return found


def set_policy(tenant_id: UUID, record: EntryMaker | None = None, **changes: Unpack[Changes]) -> Policy:
    """Change some of a tenant's policy; what it is now. Raises ValueError for what is no limit, or no known field.

    record: makes the entry of the audit that is written with it.
    """
    _refuse(changes)
    values = {**changes, "updated_at": func.now()}
    written = insert(ModelPolicy).values(tenant_id=tenant_id, **values)
    with keeper_session(audited=tenant_id) as db:
        before = _policy(db.get(ModelPolicy, tenant_id, with_for_update=True))
        db.execute(written.on_conflict_do_update(index_elements=["tenant_id"], set_=values))
        db.expire_all()
        now = _policy(db.get(ModelPolicy, tenant_id))
        if record is not None:
            was, became = ({name: told[name] for name in changes} for told in (asdict(before), asdict(now)))
            audit.write(db, record("models:policy", before=was, after=became))
    with _lock:
        _known[tenant_id] = now
    return now


def default_limits() -> tuple[int, Decimal]:
    """Tokens and money a day of a tenant without limits of its own; 0: no limit."""
    return settings().model_tokens_per_day, Decimal(str(settings().model_money_per_day))


def _refuse(changes: Changes) -> None:
    if unknown := set(changes) - set(Changes.__annotations__):
        raise ValueError(f"a policy has no {', '.join(sorted(unknown))}")
    for name in ("tokens_per_day", "money_per_day"):
        limit = changes.get(name)
        if isinstance(limit, int | Decimal) and not (Decimal(limit).is_finite() and limit >= 0):
            raise ValueError(f"{name} is {limit}: give 0 for no limit, or None for the default")


def _policy(row: ModelPolicy | None) -> Policy:
    if row is None:
        return Policy()
    patterns = None if row.allowed_models is None else tuple(row.allowed_models)
    return Policy(patterns, row.tokens_per_day, row.money_per_day, row.record_text)
