"""Helpers to call the charter API with the access token of a parent."""

from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.charter.models import CharterAcceptance
from idp.db import db
from tests.builders import PASSWORD
from tests.pages import sign_in
from tests.relying_party import Attempt, RelyingParty


def token_of(browser: FlaskClient, ent: RelyingParty, account: Account, **changes: str | None) -> dict[str, Any]:
    attempt = Attempt()
    answer = ent.answer(sign_in(browser, ent.url(attempt, **changes), account.username, PASSWORD))
    return ent.tokens(browser, answer["code"], attempt)


def ask(browser: FlaskClient, token: str) -> TestResponse:
    return browser.get("/charter", headers={"Authorization": f"Bearer {token}"})


def accept(browser: FlaskClient, token: str, version: object) -> TestResponse:
    return browser.post("/charter/acceptance", json={"version": version}, headers={"Authorization": f"Bearer {token}"})


def acceptances() -> list[CharterAcceptance]:
    db.session.rollback()
    return list(db.session.scalars(select(CharterAcceptance).order_by(CharterAcceptance.accepted_at)))
