"""A pushed request or a proof that many processes use at once is accepted once."""

import time
from collections import Counter

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from idp.oidc.authorization import par
from idp.oidc.models import AuthorizationCode, SpentProof
from tests.builders import Build
from tests.databases import settings_for
from tests.dpop_party import KeyedParty
from tests.protocol.flow import HOST, code_for
from tests.protocol.test_races import rush
from tests.relying_party import Attempt

PROCESSES, ROUNDS = 8, 20


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Requests are valid for ten minutes, because twenty rounds may take longer than one minute."""
    monkeypatch.setattr(par, "_LIFETIME_SECONDS", 599)
    return settings_for(database_url)


@pytest.fixture
def party(build: Build, session: Account) -> KeyedParty:
    return KeyedParty.of(build.ent())


def test_eight_processes_open_one_pushed_request_and_it_gives_one_code(
    browser: FlaskClient, party: KeyedParty, database_url: str
) -> None:
    # RFC 9126, 7.3.
    session_cookie = browser.get_cookie("__Host-ss", domain=HOST)
    assert session_cookie
    pushed = [party.pushed(browser, Attempt()) for _ in range(ROUNDS)]
    headers = {"Cookie": f"__Host-ss={session_cookie.value}"}
    requests = [{"path": party.opened(request_uri), "method": "GET", "headers": headers} for request_uri in pushed]
    db.session.remove()
    for answers in rush(database_url, party.issuer, requests, PROCESSES):
        assert Counter(status for status, _error, _brought in answers) == {303: 1, 400: PROCESSES - 1}
        [location] = [brought for _status, _error, brought in answers if brought]
        assert location.startswith(f"{party.redirect_uri}?code=")
    assert db.session.scalar(select(func.count()).select_from(AuthorizationCode)) == ROUNDS


def test_eight_processes_show_one_proof_and_one_is_answered(
    browser: FlaskClient, party: KeyedParty, database_url: str, attempt: Attempt
) -> None:
    # RFC 9449, 11.1.
    code = code_for(browser, party, attempt)
    token = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()["access_token"]
    url, late = f"{party.issuer}/userinfo", int(time.time()) + 50  # the maximum age of a proof
    proofs = [party.key.proof("GET", url, token, iat=late) for _ in range(ROUNDS)]
    shown = [{"Authorization": f"DPoP {token}", "DPoP": proof} for proof in proofs]
    requests = [{"path": "/userinfo", "method": "GET", "headers": headers} for headers in shown]
    db.session.remove()
    for answers in rush(database_url, party.issuer, requests, PROCESSES):
        counted = Counter((status, error) for status, error, _brought in answers)
        assert counted == {(200, None): 1, (401, "invalid_dpop_proof"): PROCESSES - 1}
    assert db.session.scalar(select(func.count()).select_from(SpentProof)) == ROUNDS + 1
