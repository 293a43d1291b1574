"""A sign-in costs two statements: one counts the try, one admits the person. They decide by the same state."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Guardianship
from idp.accounts.notices import NOTICE
from idp.accounts.passwords.hasher import Hasher
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.login import admission
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests.builders import PASSWORD, Build, add_contest
from tests.database.messages import traced
from tests.pages import form_token, heading, sign_in

_ACCOUNT = "Gérer mon compte"
_REFUSED = "Connexion"


def posting(app: Flask, account: Account, *, device: bool) -> Callable[[], None]:
    """Return what posts the sign-in form of a browser that the account knows, or of another one."""
    browser = app.test_client()
    if device:
        sign_in(browser, "/connexion", account.username, PASSWORD)
        browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    token = form_token(browser.get("/connexion"))
    data = {"csrf_token": token, "identifiant": account.username, "mot-de-passe": PASSWORD}

    def post() -> None:
        assert browser.post("/connexion", data=data).status_code == 303

    return post


@pytest.mark.parametrize("device", [True, False], ids=["known device", "new device"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_a_sign_in_sends_two_statements_and_no_other_message(
    app: Flask,
    build: Build,
    tmp_path: Path,
    device: bool,  # noqa: FBT001 - a row of the table above
    is_first: bool,  # noqa: FBT001 - same
) -> None:
    account = build.active(last_sign_in_at=None if is_first else now())
    with traced(app, tmp_path) as messages:
        for _ in range(3):  # a new connection, a known one
            post = posting(app, account, device=device)
            messages.restart()
            post()
            sent = messages.statements()
    assert len(sent) == 2, sent
    assert not re.search("BEGIN|COMMIT|ROLLBACK", "".join(sent)), "each statement commits by itself"


def _set(**values: object) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        db.session.execute(update(Account).where(Account.id == account.id).values(**values))

    return change


_change_credentials = _set(generation=Account.next_generation())


def _contest(account: Account) -> None:
    _set(password_state=PasswordState.BLOCKED)(account)
    add_contest(account.id, now())


def _dispute(account: Account) -> None:
    tie = Guardianship.account_id == account.id
    db.session.execute(update(Guardianship).where(tie).values(disputed_at=now()))


def _erase(account: Account) -> None:
    db.session.execute(delete(Guardianship).where(Guardianship.account_id == account.id))
    db.session.execute(delete(Account).where(Account.id == account.id))


@pytest.mark.parametrize(
    ("change", "page"),
    [
        (_set(password_state=PasswordState.BLOCKED), "Choisissez un nouveau mot de passe"),
        (_change_credentials, _REFUSED),
        (_set(disabled_at=now()), _REFUSED),
        (_set(password_hash="another"), _REFUSED),
        (_contest, "Ce compte est fermé pour le moment"),
        (_dispute, "Ce compte est fermé pour le moment"),
        (_erase, _REFUSED),
    ],
    ids=["blocked", "generation", "disabled", "password", "contested", "disputed", "erased"],
)
def test_a_change_while_the_hash_is_computed_opens_no_session(
    app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch, change: Callable[[Account], None], page: str
) -> None:
    account = build.active(children=[build.child()])
    verify = Hasher.verify

    def slowly(self: Hasher, stored: str | None, password: str, lane: str) -> bool:
        with unit_of_work():
            change(account)
        return verify(self, stored, password, lane)  # type: ignore[arg-type]

    monkeypatch.setattr(Hasher, "verify", slowly)
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == page
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0
    entries = db.session.scalars(select(AuditEntry.kind).where(AuditEntry.kind == "sign_in", AuditEntry.result == "ok"))
    assert entries.all() == []


def test_an_account_that_changed_gets_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch, parent: Account) -> None:
    # The first step of the chain writes nothing, and so none of the others does.
    admit, answers = admission.admit, []

    def late(*arguments: object) -> bool:
        with unit_of_work():
            _change_credentials(parent)
        answers.append((admit(*arguments), counters()))  # type: ignore[arg-type]
        return answers[-1][0]

    def counters() -> list[int]:
        return sorted(db.session.scalars(select(ThrottleCounter.count)))

    monkeypatch.setattr(admission, "admit", late)
    assert heading(sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)) == _REFUSED
    assert answers == [(False, [1, 1, 1])]
    row = db.session.get_one(Account, parent.id, populate_existing=True)
    assert row.last_sign_in_at is None
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0


def test_both_ways_write_the_same_rows(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    # The chain and the unit of work write the account, the session, the journal, the mail and the counters alike.

    def written() -> dict[str, list[dict[str, object]]]:
        account = build.active(last_sign_in_at=now(), activated_in=b"x")
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == _ACCOUNT
        own = {
            Account: Account.id == account.id,
            Session: Session.account_id == account.id,
            AuditEntry: AuditEntry.account_id == account.id,
            OutboxMessage: OutboxMessage.kind == NOTICE,
            ThrottleCounter: ThrottleCounter.count >= 0,
        }
        rows = {}
        for model, condition in own.items():
            kept = [column for column in model.__table__.columns if column.name not in _DRAWN]
            selected = db.session.execute(select(*kept).where(condition)).mappings().all()
            rows[model.__tablename__] = [
                {name: value is not None if name in _DIFFERENT else value for name, value in row.items()}
                for row in selected
            ]
        db.session.execute(delete(OutboxMessage))
        db.session.execute(delete(ThrottleCounter))
        db.session.commit()
        return rows

    at_once = written()
    with monkeypatch.context() as patch:
        patch.setattr(admission, "admit", lambda *_arguments: False)
        in_a_unit = written()
    for name, rows in at_once.items():
        assert rows == in_a_unit[name], name
    assert {name: len(rows) for name, rows in at_once.items()} == {
        "account": 1,
        "session": 1,
        "audit": 1,
        "outbox": 1,
        "throttle": 2,
    }


_DRAWN = {"id", "username", "account_id", "join_key", "search_text"}
_DIFFERENT = {
    "digest", "sid", "mac", "salt", "personal_digest", "request_id", "details", "payload", "at", "key", "since",
    "created_at", "updated_at", "last_seen_at", "auth_time", "expires_at", "available_at", "last_sign_in_at",
    "activated_at", "password_changed_at", "email_confirmed_at", "open_at",
}  # fmt: skip
"""Columns whose values are drawn or are a time; only whether they have one is compared."""


@pytest.mark.parametrize(
    ("ended", "owner"),
    [(True, "same"), (False, "same"), (True, "another"), (False, "another")],
    ids=["ended", "continued", "another's, ended", "another's"],
)
def test_a_former_session_is_ended_or_continued(
    app: Flask,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    ended: bool,  # noqa: FBT001 - a row of the table above
    owner: str,
) -> None:
    # Security rows A-17, I-17. The statement admits nobody while the cookie's session has not ended.
    account, browser, admit, answers = build.active(), app.test_client(), admission.admit, []
    before = account if owner == "same" else build.active()
    sign_in(browser, "/connexion", before.username, PASSWORD)
    sid = db.session.scalars(select(Session.sid)).one()
    if ended:
        db.session.execute(update(Session).values(ended_at=now()))
        db.session.commit()

    def noting(*arguments: object) -> bool:
        answers.append(admit(*arguments))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(admission, "admit", noting)
    data = {"identifiant": account.username, "mot-de-passe": PASSWORD}
    data["csrf_token"] = form_token(browser.get("/mot-de-passe-oublie"))
    assert browser.post("/connexion", data=data).status_code == 303
    assert answers == [ended]
    rows = db.session.execute(select(Session.sid, Session.account_id, Session.ended_at)).all()
    alive = [(row.account_id, row.sid == sid) for row in rows if row.ended_at is None]
    assert alive == [(account.id, owner == "same" and not ended)]
    assert len(rows) == 2
