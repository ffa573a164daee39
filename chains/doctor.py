"""Runs whose chain version has left the code: moved to the newest version that fits, or set aside with a clear reason.

A version fits a run if everything that the run has done stands in it under the same key and node, and it can be
planned from there. `manage.py doctor` calls this; without `apply` it only tells.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chains import catalog
from chains.advance import Outcome, deliver, move, record
from chains.decide import Event
from chains.plan import PlanError, find, plan
from errors import BatonError, UnknownChain
from storage import situation
from storage.postgres import Hot, hot
from storage.situation import Situation


@dataclass(frozen=True)
class Stranded:
    """A run that no worker can go on with. to: the version that it fits, or None: it has to be set aside."""

    tenant_id: UUID
    run_id: UUID
    chain: str
    version: str
    status: str
    to: str | None


def stranded(*, apply: bool = False) -> list[Stranded]:
    """Every run whose version is not in the code; with `apply` each of them is moved or set aside."""
    with hot("keeper") as db:
        rows = db.all("active_versions")
    known = catalog.catalog()
    found = []
    for chain, version, _, runs, tenants in rows:
        if version not in known.get(chain, {}):
            found += [_settle(tenant, run, apply) for tenant, run in zip(tenants, runs, strict=True)]
    return [one for one in found if one is not None]


def _settle(tenant_id: UUID, run_id: UUID, apply: bool) -> Stranded | None:
    with hot() as db, db.transaction(tenant_id, run_id):
        now = situation.read(db, tenant_id, run_id)
        if now is None:
            return None
        outcome, rows = Outcome.of(now), db.all("results", run_id)
        to = _newest_that_fits(now, {row[0]: row[1] for row in rows})
        if apply and (to is not None or now.status != "failed"):
            _move_or_set_aside(db, now, to, outcome)
    deliver(outcome)
    return Stranded(tenant_id, run_id, now.chain, now.version, now.status, to)


def _move_or_set_aside(db: Hot, now: Situation, to: str | None, outcome: Outcome) -> None:
    gone = f"version {now.version} of the chain {now.chain} has left the code"
    if to is None:
        error = {"code": "version_gone", "message": f"{gone} and no other fits this run.", "step": None}
        db.do("stop_run", now.run_id, "failed", json.dumps(error))
    else:
        db.do("set_version", now.run_id, to)
        told: dict[str, Any] = {"reason": f"{gone}: the run goes on with version {to}"}
        record(db, [Event("governance_intervention", data=told)], outcome)
    move(db, outcome)


def _newest_that_fits(now: Situation, done: dict[str, str]) -> str | None:
    try:
        catalog.latest(now.chain)
    except UnknownChain:
        return None
    versions = list(catalog.catalog()[now.chain])
    return next((version for version in reversed(versions) if _fits(now, version, done)), None)


def _fits(now: Situation, version: str, done: dict[str, str]) -> bool:
    try:
        body = catalog.definition(now.chain, version, now.input_facts)
        plan(body, now.input_facts, now.done)
    except (PlanError, BatonError, KeyError, TypeError):
        return False
    return all((step := find(body, key)) is not None and step.node == node for key, node in done.items())
