"""What `/openapi.json` says is what the service does: its addresses, and every answer to requests drawn from it."""

import contextvars
import re
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.protocol.flow import one_database

EXAMPLES = 60
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
PEOPLE_ONLY = {"/authorize/resume", "/authorize/refus", "/authorize/accord"}
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


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_requests_drawn_from_the_description_are_answered_as_it_says(app: Flask, mode: GenerationMode) -> None:
    """OpenAPI 3.1: status and media type of each answer are among those described; never a fault."""
    schema: Any = schemathesis.openapi.from_wsgi("/openapi.json", app=app)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            contextvars.Context().run(case.call_and_validate, checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing can be wrong in a request that carries nothing
            send()
            tried += 1
    assert tried > 10
