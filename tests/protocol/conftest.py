"""What the protocol's tests start from: a parent who is signed in, in a browser that keeps the session."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.throttle import limits
from tests.builders import PASSWORD
from tests.pages import form_token
from tests.protocol.registering import invited


@pytest.fixture
def session(browser: FlaskClient, parent: Account) -> Account:
    token = form_token(browser.get("/connexion"))
    answer = browser.post(
        "/connexion", data={"csrf_token": token, "identifiant": parent.username, "mot-de-passe": PASSWORD}
    )
    assert answer.status_code == 303, answer.status
    assert browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    return parent


@pytest.fixture
def invitation(app: Flask) -> str:
    return invited()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at as many requests and wrong proofs as a test shows.

    Their limits have tests of their own (test_rate_limits).
    """
    monkeypatch.setattr(limits, "CLIENT_PROOF", replace(limits.CLIENT_PROOF, free=1_000_000))
    patient = replace(limits.CLIENT_PROOF_IP, windows=(limits.Window(1_000_000, timedelta(minutes=1)),))
    monkeypatch.setattr(limits, "CLIENT_PROOF_IP", patient)
    patient = replace(limits.AUTHORIZE_SESSION, windows=(limits.Window(1_000_000, timedelta(minutes=1)),))
    monkeypatch.setattr(limits, "AUTHORIZE_SESSION", patient)
