"""The API keeps what its OpenAPI document says, for requests that a machine makes up from it, good ones and bad ones.

Every call is made by an owner, with made-up values and, where the path has ids, with real ones too.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_wsgi
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.operation import Operation
from identity import acting, key_management, users
from storage import tenants
from storage.tables import uuid7
from tests.app.people import PASSWORD
from tests.app.test_authorization import ID, OPERATIONS, Rows, rows_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# They wait for a worker, or never end: tests/app/test_streams.py, test_live.py and tests/acceptance hold them.
WAITING = re.compile(r"/generate|/ws$|/agents/")
CALLS = [one for one in OPERATIONS if not WAITING.search(one.path)]
EXAMPLES = 12


@pytest.fixture(scope="module")
def tenant_of_module(settings_env: Any) -> UUID:
    """One tenant for all calls."""
    return tenants.create_tenant(f"contract-{uuid7()}")


@pytest.fixture(scope="module")
def owner(tenant_of_module: UUID) -> dict[str, str]:
    """What an owner sends along: a key of their own, which no call made up here can end."""
    mine = acting.operator(tenant_of_module)
    user = users.create(mine, f"{uuid7()}@example.com", "Ada", ["owner"], PASSWORD)
    key = key_management.create(mine, "tests", user_id=user["id"])["key"]
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def real(flask_app: Flask, tenant_of_module: UUID) -> Rows:
    """A row of each kind of that tenant."""
    return rows_of(flask_app, tenant_of_module)


@pytest.fixture(scope="module")
def document(flask_app: Flask) -> Any:
    """The document, as the application serves it."""
    return from_wsgi("/openapi.json", flask_app)


@pytest.mark.parametrize("one", CALLS, ids=lambda one: f"{one.method} {one.path}")
def test_what_the_document_says_is_so(document: Any, owner: dict[str, str], real: Rows, one: Operation) -> None:
    """Given requests made up from the document, when they are sent, then the answers are as it says."""
    described = document[ID.sub(r"{\1}", one.path)][one.method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described.as_strategy())
    def hold(case: Any) -> None:
        case.call_and_validate(headers=owner, checks=CHECKS)
        if case.path_parameters:
            case.path_parameters = {name: real.get(name, value) for name, value in case.path_parameters.items()}
            case.call_and_validate(headers=owner, checks=CHECKS)

    hold()
