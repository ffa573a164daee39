"""The API's description is valid, complete and true."""

from __future__ import annotations

import re

from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.schemas.runs import CheckpointState, Event, Run
from tests.app.rows import Client, MakeRun


def test_the_document_is_valid(anonymous: FlaskClient) -> None:
    answer = anonymous.get("/openapi.json")
    assert answer.json["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(answer.json).validate()


def test_every_call_is_described(anonymous: FlaskClient, flask_app: Flask) -> None:
    paths = anonymous.get("/openapi.json").json["paths"]
    told = {(path, method.upper()) for path, calls in paths.items() for method in calls}
    routed = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method)
        for rule in flask_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/")
    }
    assert told == routed


def test_answers_are_as_described(client: Client, make_run: MakeRun) -> None:
    run_id = make_run(steps={"1": {"a": 1}})
    Run.model_validate(client.get(f"/api/v1/runs/{run_id}").json)
    CheckpointState.model_validate(client.get(f"/api/v1/runs/{run_id}/checkpoints/1").json)
    for event in client.get(f"/api/v1/runs/{run_id}/events").json["items"]:
        Event.model_validate(event)


def test_the_page_takes_a_body_of_any_type(anonymous: FlaskClient) -> None:
    """Given calls whose body is no JSON (an import), then the page asks the document for the type."""
    paths = anonymous.get("/openapi.json").json["paths"]
    bodies = [call["requestBody"] for calls in paths.values() for call in calls.values() if "requestBody" in call]
    assert any("application/json" not in one["content"] for one in bodies)
    assert b'content["application/json"]' not in anonymous.get("/docs").data


def test_the_page_loads_nothing_from_elsewhere(anonymous: FlaskClient) -> None:
    page = anonymous.get("/docs")
    assert page.status_code == 200 and page.content_type.startswith("text/html")
    assert not re.search(rb"(src|href)\s*=\s*[\"']?(https?:)?//", page.data)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
