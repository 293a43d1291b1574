"""`idp letters print`: V-05, V-12, K-05, and what a new letter closes."""

import multiprocessing
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from idp.accounts import one_time_links
from idp.accounts.models import Account, RemovalWarning
from idp.accounts.one_time_links import LinkState, Purpose
from idp.clock import now
from idp.db import db
from idp.letters.render.pdf import Letter
from idp.letters.render.typesetting import Typesetter
from idp.sessions.ending import SESSIONS_ENDED
from tests.activation.steps import ACTIVATION, activate
from tests.builders import LYCEE, PASSWORD, PROVISIONAL, Build
from tests.commands.accounts import OPERATOR, living, reload_account, waiting, wrong_tries
from tests.commands.conftest import Events, Run, check_refusal, read_json
from tests.commands.families import before_typesetting, pages, secret_on, usernames_on
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for

pytestmark = pytest.mark.usefixtures("ent")

REASON = "boîte et mot de passe perdus, vue au guichet"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "lettres.pdf"


def heading_with(app: Flask, account: Account, secret: str) -> str:
    return heading(sign_in(app.test_client(), "/connexion", account.username, secret))


@pytest.mark.row("V-05")
def test_a_letter_that_is_printed_again_replaces_the_first(
    act: Run, app: Flask, build: Build, out: Path, events: Events
) -> None:
    account = build.never_activated(address_lines=["12, rue des Lilas"], postcode="59000", city="Lille")
    report = read_json(act, "letters", "print", "--username", account.username, "--out", str(out))
    assert report == {"printed": 1, "skipped": [], "pdf": str(out), "csv": None}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    [page] = pages(out)
    for words in (account.username, "https://ent.test/", "RUE DES LILAS", "59000 LILLE", "Malo", "Tilleuls"):
        assert words in page
    valid_until = reload_account(account).provisional_expires_at
    assert valid_until is not None
    assert valid_until > now() + timedelta(days=59)
    assert heading_with(app, account, PROVISIONAL) == "Connexion"
    assert heading_with(app, account, secret_on(page)) == ACTIVATION
    assert [(e.account_id, e.actor) for e in events("letter.drawn")] == [(account.id, OPERATOR)]
    assert events("letter.reissued") == []


def test_a_new_letter_resets_the_failed_attempts(act: Run, build: Build, out: Path, app: Flask) -> None:
    account = build.never_activated(provisional_hash=None, provisional_expires_at=None)
    wrong_tries(account.username)
    assert act("letters", "print", "--username", account.username, "--out", str(out)).code == 0
    assert heading_with(app, account, secret_on(pages(out)[0])) == ACTIVATION


@pytest.mark.row("K-05")
def test_an_active_account_needs_a_reason(act: Run, build: Build, out: Path, events: Events) -> None:
    account = build.active()
    for reason in ([], ["--reason", ""], ["--reason", " \t "]):
        answer = act("letters", "print", "--username", account.username, "--out", str(out), *reason)
        check_refusal(answer, "give --reason")
    assert (out.exists(), reload_account(account).generation, events("letter.drawn")) == (False, 1, [])


@pytest.mark.row("K-05")
def test_a_reprint_mails_the_confirmed_email_and_records_the_reason(
    act: Run, app: Flask, build: Build, out: Path, events: Events
) -> None:
    account = build.active()
    with post_office(app) as office:
        answer = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
        [mail] = office.deliver()
    assert answer.out == f"1 letter in {out}\n"
    assert (mail["To"], mail["Subject"]) == ("noemie.leroy@exemple.fr", "Un nouveau courrier pour votre compte")
    for part in (text_of(mail), html_of(mail)):
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
    account = build.active(removal_warning=RemovalWarning(warned_at=now() + timedelta(hours=1)))
    sign_in(browser, "/connexion", account.username, PASSWORD)
    issued = tokens_for(browser, ent, scope=OFFLINE)
    links = {}
    for purpose in Purpose:
        row = one_time_links.issue(
            build.settings, purpose, reload_account(account), email="a@exemple.fr", lifetime=timedelta(hours=1)
        )
        links[purpose] = one_time_links.token(build.settings, row) or ""
    db.session.commit()
    answer = act("letters", "print", "--username", account.username, "--reason", REASON, "--out", str(out))
    assert answer.code == 0, answer.err
    after = reload_account(account)
    assert (after.activated_at, after.activated_in, after.password_hash) == (None,) * 3
    assert (after.email, after.mailbox, after.email_confirmed_at, after.pending_email) == (None,) * 4
    assert (after.inactive_warned_at, after.first_activated_at is None) == (None, False)
    assert (living(account), len(waiting(SESSIONS_ENDED))) == (0, 1)
    assert [e.details["by"] for e in events("sessions.ended")] == ["letter"]
    assert ent.userinfo(browser, issued["access_token"]).status_code == 401
    assert ent.refresh(browser, issued["refresh_token"]).status_code == 400
    for purpose, value in links.items():
        assert one_time_links.look_up(purpose, value).state is LinkState.DEAD, purpose
        assert one_time_links.redeem(purpose, value) is None, purpose
    db.session.rollback()
    assert heading_with(app, account, PASSWORD) == "Connexion"
    assert heading_with(app, account, secret_on(pages(out)[0])) == ACTIVATION, "the same account begins again"
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
    for account, page in zip((first, second), pages(out), strict=True):
        assert heading_with(app, account, secret_on(page)) == ACTIVATION


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
    names = ("--username", good.username, "--username", username)
    check_refusal(act("letters", "print", *names, "--out", str(out)), message)
    assert (out.exists(), reload_account(good).provisional_hash, events("letter.drawn")) == (False, before, [])


def test_an_existing_file_is_never_overwritten(act: Run, build: Build, out: Path, tmp_path: Path) -> None:
    account = build.never_activated()
    before = reload_account(account).provisional_hash
    out.write_text("letters of others")
    link = tmp_path / "link.pdf"
    link.symlink_to(tmp_path / "nowhere.pdf")
    for path, why in ((out, "exists"), (link, "exists"), (tmp_path / "no" / "x.pdf", "cannot be")):
        check_refusal(act("letters", "print", "--username", account.username, "--out", str(path)), why)
    assert (out.read_text(), link.is_symlink(), link.exists()) == ("letters of others", True, False)
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
    answer = act("letters", "print", "--username", account.username, "--out", str(out))
    check_refusal(answer, "was killed: the letters of this file are not valid")
    assert (list(out.parent.iterdir()), reload_account(account).provisional_hash) == ([], None)


def test_an_activation_during_typesetting_is_kept(
    act: Run, build: Build, browser: FlaskClient, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.never_activated()
    before_typesetting(monkeypatch, lambda: activate(browser, account))
    answer = act("letters", "print", "--username", account.username, "--out", str(out))
    assert (answer.code, answer.out, out.exists()) == (1, "", False)
    assert answer.err.endswith(f"Error: {account.username} changed in the meantime, try again\n")
    after = reload_account(account)
    assert (after.activated_at is None, after.provisional_hash) == (False, None)
