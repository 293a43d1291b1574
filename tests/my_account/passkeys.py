"""Steps with the passkeys of a parent."""

import secrets
import uuid

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.db import db
from idp.passkeys.models import Passkey
from tests.authenticator import Authenticator, key_of_parent, options
from tests.my_account.steps import PHONE, device, enter
from tests.pages import form_token

PAGE = "/mon-compte/cles"
CHALLENGE = "/connexion/cle-d-acces/defi"


def begin(browser: FlaskClient, key: Authenticator) -> str:
    return key.create(options(browser, f"{PAGE}/defi", PAGE))


def send(browser: FlaskClient, answer: str, name: str = "téléphone", url: str = PAGE) -> TestResponse:
    return post(browser, url, passkey=answer, nom=name)


def add(browser: FlaskClient, key: Authenticator, name: str = "téléphone") -> TestResponse:
    return send(browser, begin(browser, key), name)


def post(browser: FlaskClient, url: str, **data: str) -> TestResponse:
    return browser.post(url, data={"csrf_token": form_token(browser.get("/mon-compte")), **data})


def owner(app: Flask, account: Account, key: Authenticator | None = None) -> Authenticator:
    """Return a key that the account has, added in a browser that is not used again."""
    key = key or key_of_parent()
    browser = device(app, PHONE)
    enter(browser, account)
    assert add(browser, key).status_code == 303
    return key


def store_passkey(account_id: uuid.UUID) -> None:
    """Store a passkey without a ceremony, for pages that only tell of it."""
    row = Passkey(account_id=account_id, name="téléphone", credential_id=secrets.token_bytes(32), public_key=b"x")
    row.sign_count, row.is_backup_eligible, row.is_backed_up = 0, False, False
    db.session.add(row)
    db.session.commit()


def stored(account: Account) -> list[Passkey]:
    db.session.rollback()
    return list(
        db.session.scalars(select(Passkey).where(Passkey.account_id == account.id).order_by(Passkey.created_at))
    )


def sign_in(browser: FlaskClient, key: Authenticator, url: str = "/connexion", **fields: str) -> TestResponse:
    return answer_with(browser, key.get(options(browser, CHALLENGE, url)), url, **fields)


def answer_with(browser: FlaskClient, answer: str, url: str = "/connexion", **fields: str) -> TestResponse:
    return browser.post(url, data={"csrf_token": form_token(browser.get(url)), "passkey": answer, **fields})
