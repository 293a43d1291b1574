"""Registration access tokens: replaced at each update, not lost with a response, expired after a year without use."""

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.registration import registrations
from tests.protocol.flow import refused
from tests.protocol.registering import MINIMAL, bearer, invited, registered
from tests.protocol.test_races import rush

YEAR = timedelta(days=365)


@pytest.fixture
def registration(browser: FlaskClient) -> dict[str, Any]:
    return registered(browser, invited())


def path(registration: dict[str, Any]) -> str:
    return f"/register/{registration['client_id']}"


def read(browser: FlaskClient, registration: dict[str, Any], token: str) -> TestResponse:
    return browser.get(path(registration), headers=bearer(token))


def replace(browser: FlaskClient, registration: dict[str, Any], token: str, **metadata: Any) -> TestResponse:
    body = {**MINIMAL, "client_id": registration["client_id"], **metadata}
    return browser.put(path(registration), json=body, headers=bearer(token))


def replacement(browser: FlaskClient, registration: dict[str, Any], token: str) -> str:
    answer = replace(browser, registration, token)
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["registration_access_token"])


def changes() -> list[tuple[str, str]]:
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "client.changed_itself").order_by("id"))
    return [(row.details["change"], row.result) for row in rows]


def test_registration_token_is_replaced_at_each_update(browser: FlaskClient, registration: dict[str, Any]) -> None:
    """RFC 7592, 2.2."""
    first = registration["registration_access_token"]
    second = replacement(browser, registration, first)
    assert second != first
    assert len(second) == 43
    assert read(browser, registration, second).get_json()["registration_access_token"] == second, (
        "a read replaces nothing"
    )
    for method in ("GET", "PUT", "DELETE"):
        answer = browser.open(path(registration), method=method, json=MINIMAL, headers=bearer(first))
        refused(answer, "invalid_token", 401)
    third = replacement(browser, registration, second)
    assert read(browser, registration, third).status_code == 200
    assert changes()[:3] == [("registered", "ok"), ("changed", "ok"), ("registration token replaced", "ok")]


def test_a_refused_update_replaces_no_token(browser: FlaskClient, registration: dict[str, Any]) -> None:
    """RFC 7592, 5."""
    first = registration["registration_access_token"]
    refused(replace(browser, registration, first, redirect_uris=[]), "invalid_redirect_uri")
    assert read(browser, registration, first).status_code == 200


def test_lost_answer_does_not_lock_the_client_out(browser: FlaskClient, registration: dict[str, Any]) -> None:
    """RFC 7592, 5. After any number of lost responses the client's token is still valid."""
    first = registration["registration_access_token"]
    lost = [replacement(browser, registration, first) for _ in range(3)]
    assert read(browser, registration, first).get_json()["registration_access_token"] == first
    for token in lost[:-1]:  # these tokens were never received; only the last one could still arrive
        assert read(browser, registration, token).status_code == 401
    arrived = replacement(browser, registration, first)
    assert read(browser, registration, lost[-1]).status_code == 401
    assert read(browser, registration, arrived).status_code == 200
    assert read(browser, registration, first).status_code == 401


def test_registration_token_expires_when_unused_for_a_year(
    browser: FlaskClient, registration: dict[str, Any], unhurried: None
) -> None:
    """RFC 7592, 5. The token of an unused registration expires; an operator can issue another."""
    token, start = registration["registration_access_token"], now()
    for days in (364, 700, 1000):
        with time_machine.travel(start + timedelta(days=days), tick=False):
            assert read(browser, registration, token).status_code == 200, "each use counts"
    with time_machine.travel(start + timedelta(days=1000) + YEAR + timedelta(seconds=1), tick=False):
        for method in ("GET", "PUT", "DELETE"):
            answer = browser.open(path(registration), method=method, json=MINIMAL, headers=bearer(token))
            refused(answer, "invalid_token", 401)
            assert "not used for a year" in answer.get_json()["error_description"]
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="idp", error="invalid_token"'
        assert "not used for a year" not in read(browser, registration, "x" * 43).get_json()["error_description"]
        assert changes()[-1] == ("registration token expired", "refused")
        assert db.session.scalars(select(Client)).one().disabled_at is None, "the registration itself goes on"
        renewed = registrations.renew_access_token(registration["client_id"])
        assert read(browser, registration, renewed).status_code == 200


def test_former_token_expires_with_the_present_one(
    browser: FlaskClient, registration: dict[str, Any], unhurried: None
) -> None:
    """RFC 7592, 5."""
    first = registration["registration_access_token"]
    replacement(browser, registration, first)
    with time_machine.travel(now() + YEAR + timedelta(seconds=1), tick=False):
        assert "not used for a year" in read(browser, registration, first).get_json()["error_description"]


def test_two_updates_at_once_leave_the_client_a_token_that_is_good(
    browser: FlaskClient, registration: dict[str, Any], settings: Settings
) -> None:
    """RFC 7592, 2.2."""
    token = registration["registration_access_token"]
    order = {
        "path": path(registration),
        "method": "PUT",
        "data": json.dumps({**MINIMAL, "client_id": registration["client_id"]}),
        "content_type": "application/json",
        "headers": bearer(token),
    }
    [answers] = rush(settings.database_url, settings.issuer, [order], processes=8)
    statuses = [status for status, *_ in answers]
    assert statuses.count(200) >= 1
    assert set(statuses) <= {200, 400}
    assert read(browser, registration, token).status_code == 200
    last = replacement(browser, registration, token)
    assert read(browser, registration, last).status_code == 200
    assert read(browser, registration, token).status_code == 401
