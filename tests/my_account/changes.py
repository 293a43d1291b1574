"""Steps to change the password or the email, and the stored state after them."""

import json
import re
import uuid
from html import unescape
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.notices import NOTICE, Notice
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.accounts.passwords.hasher import Hasher
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.outbox.queue import OutboxMessage
from tests import forked
from tests.activation.race import HOST
from tests.builders import PASSWORD, Build
from tests.pages import form_token, heading, sign_in, submit

ACCOUNT = "Gérer mon compte"
PASSWORD_PAGE, PASSWORD_TITLE = "/mon-compte/mot-de-passe", "Changer mon mot de passe"
EMAIL_PAGE, EMAIL_TITLE = "/mon-compte/adresse", "Changer mon adresse mail"
CHOSEN = "orage brique hamster violon"
OLD, NEW = "noemie.leroy@exemple.fr", "n.leroy@exemple.fr"
WRONG = "Ce n’est pas votre mot de passe actuel."
WAITING = "Touchez le lien envoyé à la nouvelle adresse."


def enter(browser: FlaskClient, account: Account, password: str = PASSWORD) -> FlaskClient:
    assert heading(sign_in(browser, "/connexion", account.username, password)) == ACCOUNT
    return browser


def change_password(
    browser: FlaskClient, current: str = PASSWORD, new: str = CHOSEN, again: str | None = None, **more: str
) -> TestResponse:
    """Send the form; return the next page. A browser without a script types the password `again`."""
    page = browser.get(PASSWORD_PAGE)
    assert heading(page) == PASSWORD_TITLE
    second = {} if again is None else {"confirmation": again}
    return submit(browser, page, actuel=current, nouveau=new, **second, **more)


def change_email(browser: FlaskClient, new_email: str = NEW, current: str = PASSWORD, **more: str) -> TestResponse:
    """Send the form, also while another change is pending; return the next page."""
    page = browser.get(f"{EMAIL_PAGE}?autre=1")
    assert heading(page) == EMAIL_TITLE
    return submit(browser, page, actuel=current, mail=new_email, **more)


def errors(page: TestResponse) -> list[str]:
    messages = re.findall(r'<p class="err"[^>]*>.*?<span>(.*?)</span></p>', page.get_data(as_text=True), re.DOTALL)
    return [unescape(text) for text in messages]


def reload_account(account: Account) -> Account:
    db.session.rollback()
    return db.session.get_one(Account, account.id, populate_existing=True)


def read_emails(account: Account) -> tuple[str | None, str | None]:
    row = reload_account(account)
    return row.email, row.pending_email


def links(account: Account, purpose: Purpose) -> list[OneTimeLink]:
    db.session.rollback()
    statement = select(OneTimeLink).where(OneTimeLink.account_id == account.id, OneTimeLink.purpose == purpose.value)
    return list(
        db.session.scalars(statement.order_by(OneTimeLink.created_at).execution_options(populate_existing=True))
    )


def path_of(settings: Settings, link: OneTimeLink) -> str:
    page = "contestation" if link.purpose == Purpose.CONTEST_EMAIL.value else "lien"
    return f"/adresse/{page}/{one_time_links.token(settings, link)}"


def read_notices(account: Account) -> list[tuple[str, str]]:
    """Return the kind of each notice of a change, and the email of its link (empty for the account's own)."""
    db.session.rollback()
    rows = db.session.scalars(
        select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE).order_by(OutboxMessage.created_at)
    ).all()
    notices = []
    for payload in rows:
        if payload["account"] == str(account.id) and payload["notice"] != Notice.NEW_DEVICE.value:
            link = db.session.get(OneTimeLink, uuid.UUID(payload["link"])) if "link" in payload else None
            notices.append((payload["notice"], link.email if link else ""))
    return notices


def journal(account: Account, kind: str) -> list[dict[str, Any]]:
    db.session.rollback()
    statement = select(AuditEntry.details).where(AuditEntry.account_id == account.id, AuditEntry.kind == kind)
    return list(db.session.scalars(statement))


def form(browser: FlaskClient, page: TestResponse, **data: str) -> dict[str, Any]:
    names = ("__Host-tx", "__Host-ss", "__Host-dv")
    cookies = {name: cookie.value for name in names if (cookie := browser.get_cookie(name, domain=HOST))}
    url = page.request.full_path.rstrip("?")
    return {"cookies": cookies, "url": url, "data": {"csrf_token": form_token(page), **data}}


def at_once(settings: Settings, forms: list[dict[str, Any]], **more: object) -> list[dict[str, Any]]:
    """Send forms at the same time, each from its own process with `more` settings; return the responses."""
    db.session.rollback()
    order = {"database": settings.database_url, "forms": forms, "settings": more}
    done = forked.run("tests.activation.race", stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


def is_password(build: Build, password_hash: str | None, password: str) -> bool:
    return Hasher(build.settings).verify(password_hash, password, "sign_in")
