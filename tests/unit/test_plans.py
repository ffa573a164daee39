"""Plans: the numbers of the file, what stands above what, and mistakes that name their place."""

from __future__ import annotations

from typing import Any

import pytest

from errors import InvalidInput
from policy import plans
from policy.plans import InvalidPlans, Limits, limits_of, validate_overrides
from settings import Settings

NOTHING_SET = Settings()


def test_the_numbers_of_the_product() -> None:
    found = plans.all_plans()
    assert set(found) == set(plans.NAMES)
    assert found["unlimited"] == Limits()
    named = [found[name] for name in ("starter", "professional", "enterprise")]
    assert [one.requests_per_minute for one in named] == [20, 100, 500]
    assert [one.tokens_per_day for one in named] == [500_000, 10_000_000, None]
    assert [one.max_concurrent for one in named] == [3, 20, 100]
    assert [one.max_sessions for one in named] == [100, 10_000, None]
    assert [one.max_documents for one in named] == [1_000, 100_000, None]
    assert [one.max_waiting for one in named] == [100, 1_000, 10_000]
    assert [one.weight for one in named] == [1, 2, 4]


def test_what_an_operation_costs() -> None:
    assert plans.cost_multiplier("POST /api/v1/generate") == 1.0
    assert plans.cost_multiplier("POST /api/v1/agents/{agent_id}/runs") == 1.5
    assert plans.cost_multiplier("GET /api/v1/runs") is None


def test_a_tenants_own_limits_stand_above_the_settings_and_these_above_the_plan() -> None:
    set_ = Settings(core_rate_qps_per_tenant=8, core_rate_tokens_per_min=20_000)
    assert limits_of("unlimited", None, NOTHING_SET) == Limits()
    assert limits_of("unlimited", None, set_) == Limits(qps=8, tokens_per_minute=20_000)
    found = limits_of("professional", {"qps": 2, "max_sessions": -1}, set_)
    assert (found.qps, found.tokens_per_minute, found.burst, found.max_sessions) == (2, 20_000, 20, None)


def test_minus_one_lifts_a_limit() -> None:
    found = limits_of("starter", {"qps": -1, "allowed_models": ["*"]}, NOTHING_SET)
    assert found.qps is None and found.allowed_models == ("*",)
    assert found.requests_per_minute == 20


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"max_sesions": 5}, "limits.max_sesions", "did you mean max_sessions?"),
        ({"qps": 0}, "limits.qps", "-1 for no limit"),
        ({"qps": float("nan")}, "limits.qps", "-1 for no limit"),
        ({"burst": 0}, "limits.burst", "at least 1"),
        ({"burst": -2}, "limits.burst", "greater than or equal to -1"),
        ({"max_sessions": "5"}, "limits.max_sessions", "integer"),
        ({"max_sessions": True}, "limits.max_sessions", "integer"),
        ({"allowed_models": [""]}, "limits.allowed_models.0", "at least 1 character"),
        ({"alert_threshold": 2}, "limits.alert_threshold", "less than or equal to 1"),
        ({"weight": -1}, "limits.weight", "greater than or equal to 1"),
        ({"weight": 5}, "limits.weight", "the tenant's own `weight`"),
        ([], "limits", "must be an object"),
    ],
)
def test_what_is_no_limit_is_refused(given: Any, field: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("?", r"\?")) as refused:
        validate_overrides(given)
    assert [one["field"] for one in refused.value.errors] == [field]


def test_what_says_nothing_is_not_stored() -> None:
    assert validate_overrides({"qps": 2, "burst": None}) == {"qps": 2}


def test_a_plan_that_there_is_not() -> None:
    with pytest.raises(InvalidInput, match="did you mean starter"):
        limits_of("startre", None, NOTHING_SET)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("    burst: 5 ", "    brust: 5 ", r"plans.yaml:8: plans.starter.brust: .*did you mean burst\?"),
        ("qps: 20\n", "qps: many\n", r"plans.yaml:\d+: plans.enterprise.qps: .*number"),
        ("    weight: 2\n", "", r"plans.professional.weight: is missing"),
        ("    weight: 2\n", "    weight: 2\n    weight: 3\n", r"plans.professional.weight: given twice"),
        ("  enterprise:", "  enterprize:", r"plans.enterprise: is missing\n.*did you mean enterprise\?"),
        ("POST /api/v1/runs: 1.0", "GET /api/v1/runs: 1.0", r"cost_multipliers.GET /api/v1/runs"),
        ("plans:\n", "plans: [\n", r"plans.yaml:\d+: "),
    ],
)
def test_a_wrong_file_names_line_and_field(old: str, new: str, says: str) -> None:
    text = plans.FILE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    with pytest.raises(InvalidPlans, match=says):
        plans.read(text.replace(old, new).encode())
