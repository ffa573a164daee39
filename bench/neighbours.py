"""How long another tenant's first run waits while one tenant has ten thousand waiting.

The noisy tenant has the plan `enterprise`; each of its runs is one node that sleeps 200 ms. Beside it tenants come, one
after another, each with its first run. Their delay goes from the transaction that accepts to the start of the node by
the database's clock, and is told in the noisy tenant's node times: it must not reach one.
"""

from __future__ import annotations

import json
import time
from uuid import UUID

from bench.contestants import Baton
from bench.crew import wait_until
from bench.figures import spread
from bench.runs import turn
from bench.stand import Stand

NODE_MS = 200
WAITING = 10_000
NEWCOMERS, PAUSE_SECONDS = 40, 0.1
WARM_SECONDS = 2.0
INPUT = json.dumps({"steps": 1, "sleep_ms": NODE_MS, "fan_out": 0})


def neighbours(stand: Stand, number: int) -> dict[str, float]:
    """The newcomers' delays, in ms and in node times, and how many of the noisy tenant's runs still waited."""
    from chains.advance import move_admitted

    baton = stand.baton
    noisy = _tenant(baton, f"noisy-{number}")
    with turn(baton):
        _fill(baton, noisy)
        move_admitted()
        time.sleep(WARM_SECONDS)
        runs = [_first_run(baton, f"quiet-{number}-{one}") for one in range(NEWCOMERS)]
        wait_until(lambda: len(_delays(baton, runs)) == len(runs), "the newcomers' runs")
        found = spread("neighbours", _delays(baton, runs))
        left = _empty(baton, noisy)
    return {**found, "neighbours_node_times": found["neighbours_p95_ms"] / NODE_MS, "neighbours_waiting": left}


def _tenant(baton: Baton, name: str) -> UUID:
    from storage import tenants

    made = tenants.create_tenant(name)
    baton.ask("UPDATE tenants SET plan = 'enterprise' WHERE id = %s RETURNING id", str(made))
    return made


def _fill(baton: Baton, tenant: UUID) -> None:
    baton.ask(
        "INSERT INTO runs (id, tenant_id, chain, chain_version, trace_id, input, facts, limited, admitted)"
        " SELECT gen_random_uuid(), %s, 'probe', '1', 'bench', %s, %s, true, false FROM generate_series(1, %s)"
        " RETURNING id",
        str(tenant),
        INPUT,
        INPUT,
        WAITING,
    )


def _first_run(baton: Baton, name: str) -> str:
    from chains.submit import SubmitRequest, deliver_accepted, submit

    time.sleep(PAUSE_SECONDS)
    accepted = submit(_tenant(baton, name), SubmitRequest("probe", {"steps": 1}))
    deliver_accepted(accepted)
    return str(accepted.run_id)


def _delays(baton: Baton, runs: list[str]) -> list[float]:
    """Milliseconds of those whose node has started and ended."""
    found = baton.ask(
        "SELECT extract(epoch FROM steps.started_at - runs.created_at)::float8 * 1000"
        " FROM runs JOIN steps ON run_id = id"
        " WHERE id = ANY (%s::uuid[]) AND steps.status = 'succeeded'",
        runs,
    )
    return [float(row[0]) for row in found]


def _empty(baton: Baton, tenant: UUID) -> float:
    """Take away what waits, and let the rest end; how many waited."""
    waited = baton.ask(
        "DELETE FROM runs WHERE tenant_id = %s AND status = 'pending' AND NOT admitted RETURNING id", str(tenant)
    )
    ended = "SELECT count(*) FROM runs WHERE tenant_id = %s AND status IN ('pending', 'running')"
    wait_until(lambda: baton.ask(ended, str(tenant))[0][0] == 0, "the noisy tenant's runs")
    return float(len(waited))
