"""A correct secret of a closed account cannot fill the database."""

from pathlib import Path

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Guardianship
from idp.accounts.notices import RESET_REQUESTED
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.operations.password_commands import build as build_filter
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.pages import heading, sign_in
from tests.recovery.steps import answers, ask_password, journal, outbox
from tests.settlements import REJECT, settle

_RENEW = "Choisissez un nouveau mot de passe"
_CLOSED = "Ce compte est fermé pour le moment"
_PARTS = "Un lien part maintenant"
_ASKED = "Un message a déjà été demandé pour ce compte"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Settings:
    """Settings whose list of stolen passwords has that of every built account, if the test needs it."""
    source, target = tmp_path / "list.txt", tmp_path / "breached.bloom"
    listed = PASSWORD if "breached" in request.node.name else "une autre phrase, que personne n’a"
    source.write_text(f"{listed}\n", encoding="utf-8")
    build_filter(source, target, shortest=12, tell=lambda _label: lambda _read: None)
    return settings_for(database_url, breached_passwords=target)


def _shut(build: Build, how: str) -> Account:
    account = build.active(contested_at=now() if how == "contested" else None)
    if how in {"blocked", "contested"}:
        db.session.execute(update(Account).where(Account.id == account.id).values(password_state=PasswordState.BLOCKED))
    if how == "disputed":
        db.session.execute(update(Guardianship).where(Guardianship.account_id == account.id).values(disputed_at=now()))
    db.session.commit()
    return account


def _rows() -> int:
    rows = db.session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    db.session.rollback()
    return rows + len(outbox(RESET_REQUESTED))


@pytest.mark.parametrize("how", ["blocked", "breached", "contested", "disputed"])
def test_right_password_of_a_shut_account_writes_once_a_minute(browser: FlaskClient, build: Build, how: str) -> None:
    account = _shut(build, how)
    expected = _RENEW if how in {"blocked", "breached"} else _CLOSED
    first = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(first) == expected
    before = _rows()
    for _ in range(5):
        again = sign_in(browser, "/connexion", account.username, PASSWORD)
        assert heading(again) == expected
    assert _rows() == before
    assert len(answers()) == 1
    if expected == _RENEW:
        assert len(outbox(RESET_REQUESTED)) == 1
        assert _PARTS in first.text
        assert _PARTS not in again.text, "no link is sent"
        assert _ASKED in again.text


def test_another_link_is_sent_after_the_wait(browser: FlaskClient, build: Build) -> None:
    account = _shut(build, "blocked")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    with time_machine.travel(now().timestamp() + 61, tick=True):
        assert _PARTS in sign_in(browser, "/connexion", account.username, PASSWORD).text
    assert len(outbox(RESET_REQUESTED)) == 2


def test_breached_password_is_closed_although_links_were_asked_for_before(
    browser: FlaskClient, parent: Account
) -> None:
    # A request for a link by another person must not keep a stolen password valid.
    ask_password(browser, parent.username)
    page = sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert heading(page) == _RENEW
    assert _PARTS in page.text, "what others ask for does not count"
    assert len(journal("password.breached")) == 1


def test_link_is_sent_at_once_when_the_school_has_settled(browser: FlaskClient, build: Build) -> None:
    account = build.active(
        contested_at=now(), password_state=PasswordState.BLOCKED, contested_email="ancienne@exemple.fr"
    )
    assert heading(sign_in(browser, "/connexion", account.username, PASSWORD)) == _CLOSED
    settle(build.settings, account, REJECT)
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(page) == _RENEW
    assert _PARTS in page.text
    assert len(outbox(RESET_REQUESTED)) == 1
