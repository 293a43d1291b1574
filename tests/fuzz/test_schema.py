"""What `/openapi.json` says is what the service does: its addresses, and every answer to requests drawn from it."""

import contextvars
import re
from collections import Counter
from contextlib import suppress
from typing import Any

import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from idp.db import db
from idp.oidc import dynamic_metadata
from idp.oidc.openapi_schemas import SCHEMAS
from tests.builders import Build
from tests.fuzz.proofs import MENDED
from tests.fuzz.world import World
from tests.protocol.flow import one_database

EXAMPLES = 60
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
RUDE: tuple[dict[str, Any], ...] = (
    {"query_string": "x=" + "x" * 17_000},
    {"data": b"a" * 70_000, "content_type": "application/x-www-form-urlencoded"},
    {"data": b"--x--", "content_type": "multipart/form-data; boundary=x"},
)
PEOPLE_ONLY = {"/authorize/resume", "/authorize/refus", "/authorize/accord", "/authorize/autre-ent"}
"""Continuations of a page: no program asks for them."""


def _as_described(rule: str) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)


@one_database
def test_every_endpoint_of_the_protocol_is_described_and_nothing_else(app: Flask) -> None:
    described = app.test_client().get("/openapi.json").get_json()["paths"]
    found = {(path, method.upper()) for path, item in described.items() for method in item if method != "parameters"}
    served = {
        (_as_described(rule.rule), method)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("oidc.", "charter_api.")) and rule.rule not in PEOPLE_ONLY
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert found == served


@one_database
def test_every_member_of_metadata_that_is_read_is_described(app: Flask) -> None:
    read = {*dynamic_metadata._TEXTS, *dynamic_metadata._TEXT, *dynamic_metadata._TRUTH, *dynamic_metadata._DESCRIBED}
    schemas = app.test_client().get("/openapi.json").get_json()["components"]["schemas"]
    for name in ("ClientMetadata", "ClientUpdate", "Client"):
        assert schemas[name]["properties"].keys() >= read, name
    assert {"client_id", "redirect_uris"} == set(schemas["ClientUpdate"]["required"])


@one_database
def test_what_is_refused_before_any_endpoint_is_asked_is_described(app: Flask) -> None:
    client, seen = app.test_client(), set()
    for path, item in client.get("/openapi.json").get_json()["paths"].items():
        for method in item.keys() - {"parameters"}:
            for rude in RUDE:
                answer = client.open(path.replace("{client_id}", "x"), method=method.upper(), **rude)
                described = item[method]["responses"][str(answer.status_code)]
                assert answer.mimetype in described["content"], (method, path, answer.status)
                seen.add((path, answer.status_code))
    assert {("/authorize", 415), ("/logout", 413), ("/session/check", 414), ("/token", 415), ("/par", 413)} <= seen


def test_requests_drawn_from_the_description_are_answered_as_it_says(app: Flask, build: Build, unhurried: None) -> None:
    """OpenAPI 3.1: status, media type and body of each answer are among those described; never a fault."""
    answers = _answered(World(app, build), GenerationMode.POSITIVE, ["right", "proved", "as drawn"])
    assert {name for name, status in answers if status < 300 or status == 303} >= MENDED.keys(), answers
    assert 429 not in {status for _, status in answers}


def test_requests_that_the_description_forbids_are_answered_as_it_says(
    app: Flask, build: Build, unhurried: None
) -> None:
    answers = _answered(World(app, build), GenerationMode.NEGATIVE, ["proved", "as drawn"])
    refused = {name for name, status in answers if status == 400}
    assert refused >= {"token", "push", "revoke", "introspect", "register", "updateClient", "acceptCharter"}, answers
    assert 429 not in {status for _, status in answers}


def _answered(world: World, mode: GenerationMode, ways: list[str]) -> Counter[tuple[str, int]]:
    """Send requests to every operation, each in one of the `ways`; return how often each gave which status."""
    schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app=world.app)
    answers: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        with suppress(Unsatisfiable):  # nothing can be wrong in a request that carries nothing
            _send_to(world, found.ok(), mode, ways, answers)
    return answers


def _send_to(
    world: World, operation: Any, mode: GenerationMode, ways: list[str], answers: Counter[tuple[str, int]]
) -> None:
    name = operation.definition.raw["operationId"]
    prove, complete = MENDED.get(name, (None, None))

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.sampled_from(ways))
    def send(case: Any, way: str) -> None:
        if prove and way != "as drawn":
            prove(world, case)
        if complete and way == "right":
            complete(world, case)
        db.session.rollback()
        response = contextvars.Context().run(case.call_and_validate, checks=CHECKS)
        answers[name, response.status_code] += 1
        if response.status_code < 300:
            assert _undescribed(operation, response) == set()

    send()


def _undescribed(operation: Any, response: Any) -> set[str]:
    """Return the members of an answer that the description does not name, where it names them."""
    described = operation.definition.raw["responses"][str(response.status_code)].get("content", {})
    schema = described.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    if schema in {"", "Document", "Claims"}:
        return set()
    properties: dict[str, Any] = SCHEMAS[schema]["properties"]
    return set(response.json()) - properties.keys()
