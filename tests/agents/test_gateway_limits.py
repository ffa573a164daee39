"""What a plan says to the gateway: which models, how many tokens a day, and that their use counts at the door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection

from gateway import breaker
from gateway.backend import Backend
from gateway.backends.models_file import Configuration, SemanticCache
from gateway.models import Models
from gateway.request import Caller
from node import Final, Pause
from policy import limiter, tenant_limits
from storage import model_calls, model_policies
from tests.agents.fakes import FakeContext
from tests.agents.fault_proxy import FaultProxy
from tests.agents.protocols import echo
from tests.storage.conftest import rows

HELLO = [{"role": "user", "content": "Say hello to the viewers."}]
Door = Callable[..., Models]


@pytest.fixture
def door(owner_db: Connection, tenant: UUID) -> Iterator[Door]:
    """A door of the tenant, with these limits of its own, to two models behind one server: `small` and `large`."""
    breaker.forget()
    with FaultProxy() as server:

        def make(**limits: Any) -> Models:
            said = (json.dumps(limits), str(tenant))
            rows(owner_db, "UPDATE tenants SET plan = 'enterprise', limits = %s::json WHERE id = %s", said)
            tenant_limits.forget()
            backends = tuple(
                Backend(f"{name}-{tenant}", "vllm", server.url, name, api_key="k") for name in ("large", "small")
            )
            configuration = Configuration(backends, "cost_optimized", SemanticCache())
            return Models(lambda: configuration, Caller(tenant), FakeContext(tenant_id=str(tenant)))

        yield make
    tenant_limits.forget()
    breaker.forget()


def test_the_plan_and_the_policy_must_both_allow_a_model(door: Door, tenant: UUID) -> None:
    # Given a plan with the small model, Then it answers
    assert door(allowed_models=["small*"]).chat(HELLO).model == "small"
    # Given a policy with the large one beside it, Then nobody is allowed
    model_policies.set_policy(tenant, allowed_models=["large*"])
    with pytest.raises(Final, match="no model is able"):
        door(allowed_models=["small*"]).chat(HELLO)
    assert door(allowed_models=["small*", "lar*"]).chat(HELLO).model == "large"


def test_the_plans_tokens_a_day_hold_where_the_policy_says_nothing(door: Door, tenant: UUID) -> None:
    with pytest.raises(Pause, match="does not hold"):
        door(tokens_per_day=50).chat(HELLO, max_tokens=100)
    assert door(tokens_per_day=-1).chat(HELLO, max_tokens=100) == echo(HELLO[0]["content"])
    # And the policy stands above the plan
    model_policies.set_policy(tenant, tokens_per_day=100_000)
    assert door(tokens_per_day=50).chat(HELLO, max_tokens=100) == echo(HELLO[0]["content"])


def test_what_a_model_used_counts_at_the_door(door: Door, tenant: UUID) -> None:
    door(tokens_per_minute=1_000_000).chat(HELLO)
    standing = {one.name: one.used for one in limiter.standings(tenant, tenant_limits.of(tenant))}
    assert standing[limiter.TOKENS] == model_calls.spent(tenant).tokens_used > 0
