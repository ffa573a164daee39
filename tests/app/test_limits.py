"""Limits over HTTP: who is held to what, what the answer says, and never one request or session too many."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import requests
from flask import Flask
from psycopg2.extensions import connection as Connection
from structlog.testing import capture_logs

from app import limits
from app.operation import OPERATIONS
from app.schemas.usage import Quotas
from policy import limiter, plans, tenant_limits
from storage import rate_limits
from storage.model_calls import NewCall, Usage, close_call, open_call
from storage.tables import uuid7
from tests.app.rows import Client, MakeRun
from tests.app.server import web_process

SetPlan = Callable[..., None]
CLIENTS = 200
NO_RATE = {"qps": -1, "burst": -1, "requests_per_minute": -1, "tokens_per_minute": -1}
HOURLY = {"qps": 0.02, "qps_window_seconds": 3600}  # 72 requests, whatever the clock says during a test


@pytest.fixture
def set_plan(owner_db: Connection, tenant: UUID) -> Iterator[SetPlan]:
    """Give the tenant a plan and limits of its own."""

    def give(plan: str = "starter", **own: Any) -> None:
        with owner_db.cursor() as cursor:
            cursor.execute(
                "UPDATE tenants SET plan = %s, limits = %s WHERE id = %s", (plan, json.dumps(own), str(tenant))
            )
        tenant_limits.forget()

    yield give
    with owner_db.cursor() as cursor:  # what is limited holds slots that tests of admission count
        cursor.execute("UPDATE runs SET status = 'cancelled' WHERE tenant_id = %s AND limited", (str(tenant),))
    tenant_limits.forget()


@pytest.fixture(scope="module")
def two_webs(settings_env: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where two web processes listen together."""
    with web_process(tmp_path_factory.mktemp("webs") / "log", WEB_CONCURRENCY="2") as address:
        yield address


def use_tokens(tenant: UUID, tokens: int) -> int | None:
    """A model call that is over; the tokens used today."""
    call = NewCall(uuid7(), tenant, None, None, "c", "a", "chat", "vllm", "b", "m")
    open_call(call)
    return close_call(call, Usage(tokens, 0), status="succeeded")


def quotas(client: Client) -> Any:
    """The limits as the tenant sees them, held against their description."""
    answer = client.get("/api/v1/usage/quotas")
    assert answer.status_code == 200, answer.text
    Quotas.model_validate(answer.json)
    return answer.json


def test_a_tenant_without_limits_costs_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "_do", lambda *_, **__: pytest.fail("somebody was asked"))
    for answer in (client.get("/api/v1/runs"), client.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 1}})):
        assert answer.status_code in (200, 202)
        assert not {"RateLimit", "RateLimit-Policy", "Baton-Quota-Warning"} & set(answer.headers.keys())


def test_what_is_left_stands_in_the_headers(client: Client, set_plan: SetPlan) -> None:
    set_plan("starter")
    answer = client.get("/api/v1/runs")
    assert answer.headers["RateLimit-Policy"] == '"burst";q=5;w=1, "qps";q=10;w=10, "requests_per_minute";q=20;w=60'
    assert answer.headers["RateLimit"] == '"burst";r=4;t=1, "qps";r=9;t=10, "requests_per_minute";r=19;t=60'
    # Of an operation that spends, tokens too; and an unknown address counts like any other
    answer = client.post("/api/v1/runs", {"chain": "probe", "input": {"steps": 1}})
    assert '"tokens_per_minute";q=20000;w=60;qu="tokens"' in answer.headers["RateLimit-Policy"]
    assert '"requests_per_minute";r=17' in client.get("/api/v1/nothing").headers["RateLimit"]


def test_one_request_too_many(client: Client, set_plan: SetPlan) -> None:
    # Given all requests of an hour
    set_plan("unlimited", qps=0.001, qps_window_seconds=3000)
    assert [client.get("/api/v1/runs").status_code for _ in range(3)] == [200] * 3
    # When one more comes
    refused = client.get("/api/v1/runs")
    # Then it is told why, and for how long
    told = refused.json
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert (told["code"], told["reason"]) == ("rate_limited", "qps") and "3 requests in 3000 seconds" in told["detail"]
    assert 2900 < told["retry_after_seconds"] <= 3000
    assert int(refused.headers["Retry-After"]) >= told["retry_after_seconds"]
    assert refused.headers["RateLimit"].startswith('"qps";r=0;t=')


@pytest.mark.parametrize("path", ["/api/v1/health", "/metrics", "/openapi.json"])
def test_what_belongs_to_no_tenant_is_not_limited(client: Client, set_plan: SetPlan, path: str) -> None:
    set_plan("unlimited", qps=0.001, qps_window_seconds=1000)
    client.get("/api/v1/runs")
    assert client.get("/api/v1/runs").status_code == 429
    assert client.get(path).status_code == 200


def test_the_settings_limit_a_tenant_without_a_plan(
    client: Client, settings_env: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = settings_env.model_copy(update={"core_rate_qps_per_tenant": 1.0, "core_rate_tokens_per_min": 50})
    monkeypatch.setattr(tenant_limits, "settings", lambda: given)
    tenant_limits.forget()
    policy = client.post("/api/v1/runs", {}).headers["RateLimit-Policy"]
    assert policy == '"qps";q=1;w=1, "tokens_per_minute";q=50;w=60;qu="tokens"'
    # And where they switch limits off, nobody has one
    off = given.model_copy(update={"core_rate_limit_enabled": False})
    monkeypatch.setattr(limiter, "settings", lambda: off)
    assert "RateLimit" not in client.get("/api/v1/runs").headers
    tenant_limits.forget()


def test_two_processes_and_200_clients_get_exactly_what_there_is(
    two_webs: str, set_plan: SetPlan, api_key: str, tenant: UUID
) -> None:
    set_plan("unlimited", **HOURLY)
    counted = burst(two_webs, api_key, lambda session, n: session.get(f"{two_webs}/api/v1/runs?limit=1", timeout=60))
    assert counted == Counter({200: 72, 429: CLIENTS - 72})


def burst(address: str, key: str, ask: Callable[[requests.Session, int], requests.Response]) -> Counter[int]:
    """The statuses that 200 clients get at once."""

    def one(number: int) -> int:
        with requests.Session() as session:
            session.headers["X-API-Key"] = key
            return ask(session, number).status_code

    with ThreadPoolExecutor(CLIENTS) as many:
        return Counter(many.map(one, range(CLIENTS)))


def test_200_clients_never_make_one_session_too_many(
    two_webs: str, set_plan: SetPlan, api_key: str, client: Client
) -> None:
    # Given a limit of 20, and clients that make sessions in both ways there are
    set_plan("unlimited", max_sessions=20)

    def make(session: requests.Session, number: int) -> requests.Response:
        if number % 2:
            return session.post(f"{two_webs}/api/v1/sessions", json={}, timeout=60)
        body = {"chain": "probe", "input": {"steps": 1}, "session_id": f"s-{number}"}
        return session.post(f"{two_webs}/api/v1/runs", json=body, timeout=60)

    counted = burst(two_webs, api_key, make)
    # Then there are 20, and each refused one was told so
    assert counted[201] + counted[202] == 20 and counted[429] == CLIENTS - 20
    assert quotas(client)["resources"]["sessions"]["current"] == 20


def test_a_full_tenant_goes_on_in_its_sessions(client: Client, set_plan: SetPlan) -> None:
    set_plan("unlimited", max_sessions=1)
    assert client.post("/api/v1/sessions", {"session_id": "first"}).status_code == 201
    refused = client.post("/api/v1/sessions", {"session_id": "second"})
    assert (refused.status_code, refused.json["reason"]) == (429, "sessions") and refused.headers["Retry-After"]
    assert client.post("/api/v1/sessions", {"session_id": "first"}).status_code == 201
    run = {"chain": "probe", "input": {"steps": 1}, "session_id": "first"}
    assert client.post("/api/v1/runs", run).status_code == 202
    # And a run in a new session leaves nothing behind
    other = client.post("/api/v1/runs", {**run, "session_id": "second"}, Idempotency_Key="k")
    assert (other.status_code, other.json["reason"]) == (429, "sessions")
    assert len(client.get("/api/v1/runs").json["items"]) == 1


def test_tokens_of_a_minute_are_refused_at_the_door_alone(client: Client, set_plan: SetPlan, tenant: UUID) -> None:
    # Given a text of a third of a token for each of its bytes
    set_plan("unlimited", tokens_per_minute=1000)
    run = {"chain": "probe", "input": {"steps": 1}}
    first = client.post("/api/v1/runs", run)
    assert first.status_code == 202
    assert f'"tokens_per_minute";r={1000 - -(-len(json.dumps(run)) // 3)};' in first.headers["RateLimit"]
    # Of an agent's runs they count one and a half times
    assert client.post("/api/v1/agents/probe/runs", {"input": {"steps": 1}}).status_code == 202
    used = quotas(client)["resources"]["tokens_per_minute"]["current"]
    assert used == -(-len(json.dumps(run)) // 3) + -(-len(json.dumps({"input": {"steps": 1}})) // 2)
    # When models used more than there was left
    limiter.spent(tenant, 5000, used_today=5000)
    # Then what spends waits, and nothing else does
    refused = client.post("/api/v1/runs", run)
    assert (refused.status_code, refused.json["reason"]) == (429, "tokens_per_minute")
    assert 0 < refused.json["retry_after_seconds"] <= 60
    assert client.get("/api/v1/runs").status_code == 200


def test_every_operation_that_costs_is_one(flask_app: Flask) -> None:
    known = {f"{one.method} {limits._path(one.path)}" for one in OPERATIONS}
    assert set(plans.cost_multipliers()) <= known


def test_a_text_of_more_than_a_minute_gets_through_alone(client: Client, set_plan: SetPlan) -> None:
    set_plan("unlimited", tokens_per_minute=10)
    run = {"chain": "probe", "input": {"steps": 1}, "session_id": "s" * 200}
    assert client.post("/api/v1/runs", run).status_code == 202
    assert client.post("/api/v1/runs", run).status_code == 429


def test_tokens_of_a_day(client: Client, set_plan: SetPlan, tenant: UUID) -> None:
    set_plan("starter", **NO_RATE, tokens_per_day=1000)
    run = {"chain": "probe", "input": {"steps": 1}}
    assert "Baton-Quota-Warning" not in client.post("/api/v1/runs", run).headers
    # Given four fifths of them, Then there is a warning
    use_tokens(tenant, 800)
    assert client.post("/api/v1/runs", run).headers["Baton-Quota-Warning"] == "tokens_per_day"
    # Given all of them, Then what spends waits for the next day
    use_tokens(tenant, 200)
    refused = client.post("/api/v1/runs", run)
    assert (refused.status_code, refused.json["reason"]) == (429, "tokens_per_day")
    assert abs(refused.json["retry_after_seconds"] - limiter.seconds_to_next_day()) < 60
    assert client.get("/api/v1/usage").json["budget"]["tokens"]["limit"] == 1000


def test_a_warning_comes_once_a_window(client: Client, set_plan: SetPlan) -> None:
    set_plan("unlimited", requests_per_minute=10)
    with capture_logs() as logged:
        near = [client.get("/api/v1/runs").headers.get("Baton-Quota-Warning") for _ in range(11)]
    assert near == [None] * 7 + ["requests_per_minute"] * 4
    told = [line for line in logged if line["event"] == "quota_warning"]
    assert [(line["resource"], line["used"], line["limit"]) for line in told] == [("requests_per_minute", 8, 10)]


def test_a_models_use_warns_too(set_plan: SetPlan, tenant: UUID) -> None:
    set_plan("unlimited", tokens_per_minute=1000, tokens_per_day=100_000)
    with capture_logs() as logged:
        limiter.spent(tenant, 700, used_today=79_999)
        assert logged == []
        limiter.spent(tenant, 100, used_today=80_000)
        limiter.spent(tenant, 100, used_today=80_100)
    assert sorted(line["resource"] for line in logged) == ["tokens_per_day", "tokens_per_minute"]


def test_the_quotas_of_a_plan(client: Client, set_plan: SetPlan, make_run: MakeRun, tenant: UUID) -> None:
    # Given a tenant with a session, a run that runs and one that waits, and tokens used
    set_plan("starter", max_sessions=5, max_concurrent=1)
    client.post("/api/v1/sessions", {"session_id": "one"})
    make_run("running", limited=True)
    make_run("pending", limited=True, admitted=False)
    make_run("completed", limited=True)
    use_tokens(tenant, 400_000)
    # Then each resource says where it stands
    seen = quotas(client)
    assert (seen["plan"], seen["allowed_models"]) == ("starter", ["gpt-4o-mini*", "claude-3*haiku*"])
    found = {
        name: (one["limit"], one["current"], one["remaining"], one["warning"])
        for name, one in seen["resources"].items()
    }
    assert found == {
        "burst": (5, 2, 3, False),
        "qps": (10, 2, 8, False),
        "requests_per_minute": (20, 2, 18, False),
        "tokens_per_minute": (20_000, 0, 20_000, False),
        "tokens_per_day": (500_000, 400_000, 100_000, True),
        "concurrent_runs": (1, 1, 0, True),
        "waiting_runs": (100, 1, 99, False),
        "sessions": (5, 1, 4, False),
        "documents": (1_000, 0, 1_000, False),
    }
    today = seen["resources"]["tokens_per_day"]
    assert today["resets_at"].endswith("T00:00:00Z") and today["alert_threshold"] == 0.8
    assert datetime.fromisoformat(seen["resources"]["qps"]["resets_at"]) > datetime.now(UTC)


def test_the_quotas_of_who_has_none(client: Client) -> None:
    seen = quotas(client)
    assert seen["plan"] == "unlimited" and seen["allowed_models"] is None
    assert {one["limit"] for one in seen["resources"].values()} == {None}
    assert not any(one["warning"] for one in seen["resources"].values())


def test_limits_that_cannot_be_read_are_the_plans(client: Client, set_plan: SetPlan) -> None:
    set_plan("starter", max_sesions=5)
    with capture_logs() as logged:
        assert quotas(client)["resources"]["sessions"]["limit"] == 100
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["tenant_limits_invalid"]
