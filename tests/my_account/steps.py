"""Steps for the tests of the account's pages."""

import re
from datetime import timedelta
from html import unescape

import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from tests.builders import PASSWORD
from tests.pages import heading, sign_in

HOST = "connexion.exemple.test"
PHONE = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Mobile Safari/537.36"
LAPTOP = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
REFUSED = "Ce n’est pas votre mot de passe"
WINDOW = timedelta(minutes=5)


def text_of(page: TestResponse) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page.get_data(as_text=True), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def device(app: Flask, user_agent: str = PHONE, ip: str = "203.0.113.7") -> FlaskClient:
    browser = app.test_client()
    browser.environ_base["HTTP_USER_AGENT"] = user_agent
    browser.environ_base["REMOTE_ADDR"] = ip
    return browser


def enter(browser: FlaskClient, account: Account, password: str = PASSWORD) -> TestResponse:
    page = sign_in(browser, "/connexion", account.username, password)
    assert heading(page) == "Gérer mon compte", text_of(page)
    return page


def is_in(browser: FlaskClient) -> bool:
    return browser.get("/mon-compte").status_code == 200


def wait_out(clock: time_machine.Traveller) -> None:
    """Move the clock until the password is asked for again."""
    clock.shift(WINDOW + timedelta(seconds=1))


def journal(kind: str, account: Account | None = None) -> list[AuditEntry]:
    """Return the journal's entries of one kind, of one account or of all, oldest first."""
    statement = select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)
    if account is not None:
        statement = statement.where(AuditEntry.account_id == account.id)
    return list(db.session.scalars(statement))


def count(model: type) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0
