"""`idp letters print`: V-05, V-12, K-05, and what a new letter closes."""

import json
import multiprocessing
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import LinkState, Purpose
from idp.clock import now
from idp.db import db
from idp.letters.render.pdf import Letter
from idp.letters.render.typesetting import Typesetter
from idp.sessions.ending import SESSIONS_ENDED
from idp.throttle import guard, limits
from tests.activation.steps import ACTIVATION, activate
from tests.builders import LYCEE, PASSWORD, PROVISIONAL, Build
from tests.commands.accounts import OPERATOR, living, reload_account, waiting
from tests.commands.conftest import Events, Run, check_refusal
from tests.commands.families import before_typesetting, pages, secret_on, usernames_on
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for

pytestmark = pytest.mark.usefixtures("ent")

REASON = "boîte et mot de passe perdus, vue au guichet"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lettres.pdf"


@pytest.mark.row("V-05")
def test_a_letter_that_is_printed_again_replaces_the_first(
    act: Run, app: Flask, build: Build, out: Path, events: Events
) -> None:
    account = build.never_activated(address_lines=["12, rue des Lilas"], postcode="59000", city="Lille")
    answer = act("letters", "print", "--username", account.username, "--out", str(out), "--json")
    assert (answer.code, answer.err) == (0, "")
    assert json.loads(answer.out) == {"printed": 1, "skipped": [], "pdf": str(out), "csv": None}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    [page] = pages(out)
    for words in (account.username, "https://ent.test/", "RUE DES LILAS", "59000 LILLE", "Malo", "Tilleuls"):
        assert words in page
    valid_until = reload_account(account).provisional_expires_at
    assert valid_until is not None
    assert valid_until > now() + timedelta(days=59)
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PROVISIONAL)) == "Connexion"
    assert heading(sign_in(app.test_client(), "/connexion", account.username, secret_on(pages(out)[0]))) == ACTIVATION
    assert [(e.account_id, e.actor) for e in events("letter.drawn")] == [(account.id, OPERATOR)]
    assert events("letter.reissued") == []
    assert secret_on(pages(out)[0]) not in answer.out


def test_a_new_letter_resets_the_failed_attempts(act: Run, build: Build, out: Path, app: Flask) -> None:
    account = build.never_activated(provisional_hash=None, provisional_expires_at=None)
    username = account.username
    db.session.rollback()
    for _ in range(5):
        guard.take(limits.SIGN_IN_ACCOUNT, username)
    assert act("letters", "print", "--username", username, "--out", str(out)).code == 0
    assert guard.remaining_wait(limits.SIGN_IN_ACCOUNT, username) == 0
    db.session.rollback()
    assert heading(sign_in(app.test_client(), "/connexion", username, secret_on(pages(out)[0]))) == ACTIVATION


@pytest.mark.row("K-05")
def test_an_active_account_needs_a_reason(act: Run, build: Build, out: Path, events: Events) -> None:
    account = build.active()
    for reason in ([], ["--reason", ""], ["--reason", " \t "]):
        check_refusal(
            act("letters", "print", "--username", account.username, "--out", str(out), *reason), "give --reason"
        )
    assert not out.exists()
    assert (reload_account(account).activated_at is not None, reload_account(account).generation) == (True, 1)
    assert events("letter.drawn") == []


@pytest.mark.row("K-05")
def test_a_reprint_mails_the_confirmed_email_and_records_the_reason(
    act: Run, app: Flask, build: Build, out: Path, events: Events
) -> None:
    account = build.active()
    with post_office(app) as office:
        assert (
            act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out)).out
            == f"1 letter in {out}\n"
        )
        [mail] = office.deliver()
    assert mail["To"] == "noemie.leroy@exemple.fr"
    assert mail["Subject"] == "Un nouveau courrier pour votre compte"
    for part in (text_of(mail), html_of(mail)):
        assert "Bonjour Noémie L.," in part
        assert account.username in part
        assert "http" not in part.replace("http-equiv", "")
        assert secret_on(pages(out)[0]) not in part
    [event] = events("letter.reissued")
    assert (event.account_id, event.actor, event.details) == (account.id, OPERATOR, {"reason": REASON})


@pytest.mark.row("V-12")
def test_a_new_letter_revokes_every_credential(
    act: Run, app: Flask, build: Build, browser: FlaskClient, out: Path, events: Events
) -> None:
    ent = build.ent("Autre", "autre.test", scopes=OFFLINE)
    account = build.active(password_blocked_at=None, inactive_warned_at=now())
    sign_in(browser, "/connexion", account.username, PASSWORD)
    issued = tokens_for(browser, ent, scope=OFFLINE)
    links = {}
    for purpose in Purpose:
        row = one_time_links.issue(
            build.settings,
            purpose,
            reload_account(account),
            email="noemie.leroy@exemple.fr",
            lifetime=timedelta(hours=1),
        )
        links[purpose] = one_time_links.token(build.settings, row)
    db.session.commit()
    answer = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
    assert answer.code == 0, answer.err
    after = reload_account(account)
    assert (after.activated_at, after.activated_in, after.password_hash, after.password_blocked_at) == (None,) * 4
    assert after.first_activated_at is not None
    assert (after.email, after.mailbox, after.email_confirmed_at, after.pending_email) == (None,) * 4
    assert after.inactive_warned_at is None
    assert living(account) == 0
    assert waiting(SESSIONS_ENDED)
    assert [e.details["by"] for e in events("sessions.ended")] == ["letter"]
    assert ent.userinfo(browser, issued["access_token"]).status_code == 401
    assert ent.refresh(browser, issued["refresh_token"]).status_code == 400
    for purpose, value in links.items():
        assert one_time_links.look_up(purpose, value or "").state is LinkState.DEAD, purpose
        assert one_time_links.redeem(purpose, value or "") is None, purpose
    db.session.rollback()
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == "Connexion"

    parent = app.test_client()
    page = sign_in(parent, "/connexion", account.username, secret_on(pages(out)[0]))
    assert heading(page) == ACTIVATION, "the same account, and its children, begin again"
    assert [child.given_name for child in reload_account(account).children] == ["Malo"]


def test_a_reprint_sends_no_mail_without_a_confirmed_email(act: Run, app: Flask, build: Build, out: Path) -> None:
    account = build.active(email=None, pending_email="intrus@exemple.fr")
    with post_office(app) as office:
        assert act("letters", "print", "--username", account.username, "--reason", "x", "--out", str(out)).code == 0
        assert office.deliver() == []
    assert reload_account(account).pending_email is None


def test_each_account_gets_one_page(act: Run, app: Flask, build: Build, out: Path) -> None:
    first, second = build.never_activated(), build.active()
    names = [first.username, second.username, first.username.upper()]
    options = [part for name in names for part in ("--username", name)]
    answer = act("letters", "print", *options, "--reason", REASON, "--out", str(out))
    assert answer.out == f"2 letters in {out}\n"
    assert usernames_on(out, first, second) == [first.username, second.username]
    for number, account in enumerate((first, second)):
        page = sign_in(app.test_client(), "/connexion", account.username, secret_on(pages(out)[number]))
        assert heading(page) == ACTIVATION


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("unknown", "no account n.personne1"),
        ("disabled", "is disabled"),
        ("childless", "has no child in a school"),
        ("no ent", f"no ENT with a home URL serves {LYCEE}"),
        ("no home", f"no ENT with a home URL serves {LYCEE}"),
        ("home with a query", "the URL of the ENT must be"),
    ],
)
def test_an_impossible_letter_cancels_the_print(
    act: Run, build: Build, out: Path, events: Events, spoil: str, message: str
) -> None:
    good = build.never_activated()
    values: dict[str, Any] = {"children": [] if spoil == "childless" else [build.child(uai=LYCEE)]}
    if spoil == "disabled":
        values = {"disabled_at": now()}
    username = "n.personne1" if spoil == "unknown" else build.never_activated(**values).username
    if spoil == "no home":
        build.ent("Autre", "autre.test", uais=[LYCEE], home_uri="")
    if spoil == "home with a query":
        build.ent("Autre", "autre.test", uais=[LYCEE], home_uri="https://autre.test/?a=1")
    before = reload_account(good).provisional_hash
    check_refusal(
        act("letters", "print", "--username", good.username, "--username", username, "--out", str(out)), message
    )
    assert not out.exists()
    assert reload_account(good).provisional_hash == before
    assert events("letter.drawn") == []


def test_an_existing_file_is_never_overwritten(act: Run, build: Build, out: Path, tmp_path: Path) -> None:
    account = build.never_activated()
    before = reload_account(account).provisional_hash
    out.write_text("letters of others")
    link = tmp_path / "link.pdf"
    link.symlink_to(tmp_path / "nowhere.pdf")
    for path, why in ((out, "exists"), (link, "exists"), (tmp_path / "no" / "x.pdf", "cannot be")):
        check_refusal(act("letters", "print", "--username", account.username, "--out", str(path)), why)
    assert out.read_text() == "letters of others"
    assert link.is_symlink()
    assert not (tmp_path / "nowhere.pdf").exists()
    assert reload_account(account).provisional_hash == before


@pytest.mark.row("O-05", "K-06")
def test_a_database_failure_leaves_no_letter_file(act: Run, build: Build, out: Path) -> None:
    account = build.active()
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit RENAME TO gone"))
    answer = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
    assert (answer.code, answer.out) == (1, "")
    assert not out.exists()
    assert reload_account(account).activated_at is not None


def test_a_killed_typesetter_leaves_no_letter(
    act: Run, build: Build, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.never_activated(provisional_hash=None, provisional_expires_at=None)
    print_truly = Typesetter.render

    def render(typesetter: Typesetter, letters: Sequence[Letter], *, as_slips: bool) -> bytes:
        print_truly(typesetter, letters, as_slips=as_slips)
        for process in multiprocessing.active_children():
            process.kill()
        return print_truly(typesetter, letters, as_slips=as_slips)

    monkeypatch.setattr(Typesetter, "render", render)
    check_refusal(
        act("letters", "print", "--username", account.username, "--out", str(out)),
        "was killed: the letters of this file are not valid",
    )
    assert list(out.parent.iterdir()) == []
    assert reload_account(account).provisional_hash is None


def test_an_activation_during_typesetting_is_kept(
    act: Run, app: Flask, build: Build, browser: FlaskClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.never_activated()
    before_typesetting(monkeypatch, lambda: activate(browser, account))
    answer = act("letters", "print", "--username", account.username, "--out", str(out))
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.endswith(f"Error: {account.username} changed in the meantime, try again\n")
    assert not out.exists()
    assert reload_account(account).activated_at is not None
    assert db.session.scalar(select(Account.provisional_hash).where(Account.id == account.id)) is None
