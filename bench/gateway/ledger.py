"""Whether the books agree: what a tenant's budget says, what its call log says, and what the providers billed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2

from gateway.backend import Backend

_SPEND = """
SELECT coalesce(sum(tokens_used), 0), coalesce(sum(cost_used), 0),
       coalesce(sum(tokens_reserved), 0), coalesce(sum(cost_reserved), 0) FROM model_spend WHERE tenant_id = %s
"""
_LOG = """
SELECT coalesce(sum(tokens_in + tokens_out), 0), coalesce(sum(cost), 0), count(*) FILTER (WHERE status = 'started'),
       count(*) FROM llm_call_logs WHERE tenant_id = %s
"""
_TOLD = """
SELECT backend, tokens_in, tokens_out FROM llm_call_logs
WHERE tenant_id = %s AND NOT estimated AND tokens_in + tokens_out > 0
"""
_STATUS = """
SELECT model, coalesce(error_code, status), count(*) FROM llm_call_logs WHERE tenant_id = %s
GROUP BY 1, 2 ORDER BY 1, 3 DESC
"""


@dataclass(frozen=True)
class Ledger:
    """tokens_apart, cost_apart: between budget and log; reserved, open: left over; calls: rows of the log;
    unbilled: answers whose numbers are in the log and on no bill, or the other way round; ends: how many calls of a
    model ended how."""

    tokens_apart: int
    cost_apart: float
    reserved: float
    open: int
    calls: int
    unbilled: int
    ends: dict[str, dict[str, int]]

    @property
    def exact(self) -> bool:
        return not (self.tokens_apart or self.cost_apart or self.reserved or self.open or self.unbilled)


def ledger(
    owner_url: str, tenant: UUID, backends: Sequence[Backend], served: Mapping[str, Sequence[Sequence[Any]]]
) -> Ledger:
    """Compare them. served: by the model, what its proxy says that it served."""
    with closing(psycopg2.connect(owner_url)) as connection, connection.cursor() as cursor:

        def read(query: str) -> list[tuple[Any, ...]]:
            cursor.execute(query, (tenant,))
            return cursor.fetchall()

        ((used, cost, tokens_reserved, cost_reserved),) = read(_SPEND)
        ((logged, logged_cost, still_open, calls),) = read(_LOG)
        told = Counter((name, tokens_in, tokens_out) for name, tokens_in, tokens_out in read(_TOLD))
        ends: dict[str, dict[str, int]] = {}
        for model, end, count in read(_STATUS):
            ends.setdefault(model, {})[end] = count
    billed = Counter(
        (backend.name, tokens_in, tokens_out)
        for backend in backends
        for _, tokens_in, tokens_out, whole in served[backend.model]
        if whole
    )
    return Ledger(
        tokens_apart=int(used - logged),
        cost_apart=float(cost - logged_cost),
        reserved=float(tokens_reserved + cost_reserved),
        open=still_open,
        calls=calls,
        unbilled=sum(((told - billed) + (billed - told)).values()),
        ends=ends,
    )
