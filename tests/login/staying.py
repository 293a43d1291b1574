"""Steps of a person who stays signed in on a device."""

from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import DeviceSession
from tests.builders import PASSWORD
from tests.pages import cookie_value, follow, heading, submit

HOST = "connexion.exemple.test"
DEVICE, SESSION = "__Host-ds", "__Host-ss"


def stay(browser: FlaskClient, account: Account, url: str = "/connexion", **fields: str) -> str:
    page = follow(browser, browser.get(url))
    assert heading(page) == "Connexion"
    assert "Rester connecté sur cet appareil" in page.text
    submit(browser, page, identifiant=account.username, mot_de_passe=PASSWORD, rester="1", **fields)
    return cookie_of(browser)


def cookie_of(browser: FlaskClient, name: str = DEVICE) -> str:
    return cookie_value(browser, name)


def close(browser: FlaskClient) -> None:
    browser.delete_cookie(SESSION, domain=HOST)


def put(browser: FlaskClient, value: str) -> None:
    browser.set_cookie(DEVICE, value, domain=HOST, secure=True)


def notices_of(notice: str) -> int:
    rows = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == "account.notice")).all()
    return sum(row.payload["notice"] == notice for row in rows)


def journal(kind: str) -> list[str]:
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.id)).all()
    return [row.details.get("change", row.result) for row in rows]


def device() -> DeviceSession:
    return db.session.scalars(select(DeviceSession).execution_options(populate_existing=True)).one()


def is_asked(browser: FlaskClient, url: str) -> bool:
    response = follow(browser, browser.get(url))
    return response.status_code == 200 and heading(response) == "Connexion"
