"""Steps of a recovery, and the stored state after them."""

import re
from email.message import EmailMessage
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.db import db
from idp.outbox.queue import OutboxMessage
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import form_token, heading, sign_in, submit

CHOSEN = "orage brique hamster violon"
OTHER = "cerise tracteur lampe bocal"
WEAK = "court"
HOST = "connexion.exemple.test"
USERNAME, PASSWORD = "/identifiant-oublie", "/mot-de-passe-oublie"
LOOK = "Regardez votre messagerie"
FORM = "Choisissez un nouveau mot de passe"
DONE = "Votre mot de passe est changé"
USED = "Ce lien a déjà servi"
DEAD = "Ce lien ne marche plus"
WAIT = "Un peu de patience"
_LINK = re.compile(r"https://connexion\.exemple\.test(/mot-de-passe/lien/[A-Za-z0-9_-]{43})(?![A-Za-z0-9_-])")


def ask_username(browser: FlaskClient, email: str) -> TestResponse:
    return submit(browser, browser.get(USERNAME), mail=email)


def ask_password(browser: FlaskClient, username: str) -> TestResponse:
    return submit(browser, browser.get(PASSWORD), identifiant=username)


def flood(app: Flask, username: str, requests: int = 30) -> None:
    """Ask for a new password of the account, from a network of its own each time."""
    for number in range(requests):
        ask_password(from_ip(app, f"2001:db8:{number:x}::1"), username)


def link_of(mail: EmailMessage) -> str:
    [link] = set(_LINK.findall(text_of(mail)) + _LINK.findall(html_of(mail)))
    return str(link)


def mailed_link(app: Flask, browser: FlaskClient, account: Account) -> str:
    ask_password(browser, account.username)
    with post_office(app) as office:
        return link_of(office.deliver()[-1])


def choose(browser: FlaskClient, link: str, password: str = CHOSEN, again: str | None = None) -> TestResponse:
    """Open the link, enter a password, and return the next page. A browser without a script types it `again`."""
    second = {} if again is None else {"confirmation": again}
    return submit(browser, browser.get(link), nouveau=password, **second)


def enters(app: Flask, account: Account, password: str) -> bool:
    return heading(sign_in(app.test_client(), "/connexion", account.username, password)) == "Gérer mon compte"


def token_of(browser: FlaskClient) -> dict[str, str]:
    """Return the form token of a browser, for forms that no page contains."""
    return {"csrf_token": form_token(browser.get(PASSWORD))}


def answers() -> list[str]:
    return [entry.details["answer"] for entry in journal("recovery.password")]


def journal(kind: str) -> list[AuditEntry]:
    db.session.rollback()
    rows = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == kind).order_by(AuditEntry.at)).all()
    db.session.rollback()
    return list(rows)


def outbox(kind: str) -> list[OutboxMessage]:
    db.session.rollback()
    rows = db.session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.kind == kind)
        .order_by(OutboxMessage.created_at)
        .execution_options(populate_existing=True)
    ).all()
    db.session.rollback()
    return list(rows)


def read_account_row(account: Account) -> dict[str, Any]:
    db.session.rollback()
    row = db.session.execute(select(Account.__table__).where(Account.__table__.c.id == account.id)).mappings().one()
    db.session.rollback()
    return dict(row)


def from_ip(app: Flask, ip: str) -> FlaskClient:
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = ip
    return browser
