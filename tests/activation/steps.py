"""Steps of an activation, and the stored state after it."""

import uuid
from dataclasses import dataclass

from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import OneTimeLink
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session
from tests.builders import PROVISIONAL
from tests.pages import form_token, heading, sign_in, submit

CHOSEN = "orage brique hamster violon"
EMAIL = "noemie@exemple.fr"
ACTIVATION = "Activez votre compte"
SENT = "Consultez votre messagerie"
CONTINUED = "Vous avez continué sur un autre appareil"
LOST = "Reprenons depuis l’ENT"
DEAD_LETTER = "Ce courrier ne sert plus"


def without_token(page: TestResponse) -> str:
    return page.get_data(as_text=True).replace(form_token(page), "")


def open_activation(browser: FlaskClient, account: Account, url: str = "/connexion") -> TestResponse:
    page = sign_in(browser, url, account.username, PROVISIONAL)
    assert heading(page) == ACTIVATION, heading(page)
    return page


def fill_in(browser: FlaskClient, page: TestResponse, password: str = CHOSEN, mail: str = EMAIL) -> TestResponse:
    return submit(browser, page, nouveau=password, confirmation=password, mail=mail)


def activate(browser: FlaskClient, account: Account, url: str = "/connexion", mail: str = EMAIL) -> TestResponse:
    page = fill_in(browser, open_activation(browser, account, url), mail=mail)
    assert heading(page) == SENT, heading(page)
    return page


def newest_link(settings: Settings, account_id: uuid.UUID) -> str:
    db.session.rollback()
    link = db.session.scalars(
        select(OneTimeLink).where(OneTimeLink.account_id == account_id).order_by(OneTimeLink.created_at.desc())
    ).first()
    assert link is not None
    return f"/adresse/lien/{one_time_links.token(settings, link)}"


def newest_code(settings: Settings, account_id: uuid.UUID) -> str:
    db.session.rollback()
    links = select(OneTimeLink).where(OneTimeLink.account_id == account_id).order_by(OneTimeLink.created_at.desc())
    code = one_time_links.code(settings, db.session.scalars(links).all()[0])
    assert code is not None
    return code


@dataclass(frozen=True)
class AccountState:
    active: bool
    letter: bool
    password: str | None
    pending: str | None
    email: str | None
    links: int
    mails: int
    sessions: int
    completions: int


def read_state(account_id: uuid.UUID) -> AccountState:
    db.session.rollback()
    account = db.session.get_one(Account, account_id, populate_existing=True)
    links = [str(key) for key in db.session.scalars(select(OneTimeLink.id).where(OneTimeLink.account_id == account_id))]
    payloads = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.finished_at.is_(None))).all()
    state = AccountState(
        active=account.activated_at is not None,
        letter=account.provisional_hash is not None,
        password=account.password_hash,
        pending=account.pending_email,
        email=account.email,
        links=len(links),
        mails=sum(payload.get("link") in links for payload in payloads),
        sessions=_count(Session, account_id),
        completions=db.session.scalar(
            select(func.count())
            .select_from(AuditEntry)
            .where(AuditEntry.account_id == account_id, AuditEntry.kind == "activation.completed")
        )
        or 0,
    )
    db.session.rollback()
    return state


def _count(model: type[Session], account_id: uuid.UUID) -> int:
    statement = select(func.count()).select_from(model).where(model.account_id == account_id)
    return db.session.scalar(statement) or 0
