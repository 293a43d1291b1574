"""What a colleague typed comes back after a proof or a sign-in, to the same person, browser, post and page, once."""

import io
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.charter import service as charters
from idp.clients.models import Client
from idp.clock import now, today
from idp.db import db
from idp.desk import kept_forms, retention
from idp.desk.jobs.models import Job
from idp.desk.kept_forms import KeptForm
from idp.desk.staff.models import Role, StaffAccount, StaffSession
from idp.web import http
from tests.authenticator import Authenticator, options
from tests.builders import Build
from tests.desk import authenticator
from tests.desk.colleagues import Colleagues, post
from tests.pages import form_token

REASON = "jugement du 3 novembre, Mme Leroy-Gardée"
UNTIL = f"{today() + timedelta(days=30)}"
TYPED = {"scope": "compte", "reason": REASON, "reference": "RG 26/01234", "end": "jour", "until": UNTIL}
NOTHING_DONE = "Rien n’a encore été fait."
SESSION = "__Host-desk"
HOST = "bureau.exemple.test"


def body(page: TestResponse) -> str:
    return page.get_data(as_text=True)


def kept() -> list[KeptForm]:
    return list(db.session.scalars(select(KeptForm).order_by(KeptForm.created_at)))


def age(staff: StaffAccount, **values: Any) -> None:
    """Change the sessions of a person: `proved_at`, `last_seen_at` or others."""
    db.session.execute(update(StaffSession).where(StaffSession.staff_id == staff.id).values(**values))
    db.session.commit()


def move_session(source: FlaskClient, browser: FlaskClient) -> None:
    cookie = source.get_cookie(SESSION, domain=HOST)
    assert cookie
    browser.set_cookie(SESSION, cookie.value, domain=HOST, secure=True)


class Desk:
    """A colleague with a page of a suspension open, whose form is filled in."""

    def __init__(self, colleagues: Colleagues, role: Role = Role.SECRETARY, *, page: str = "") -> None:
        self.colleagues = colleagues
        self.staff = colleagues.person()
        self.role = colleagues.grant(self.staff, role)
        self.browser, self.session = colleagues.session(self.staff, reason="ticket 4512")
        self.account = colleagues.build.active()
        self.path = page or f"/comptes/{self.account.id}/suspension"
        self.token = form_token(self.browser.get(self.path))

    def end_session(self) -> None:
        age(self.staff, last_seen_at=now() - timedelta(minutes=31))

    def send(self, **fields: str) -> TestResponse:
        return self.browser.post(self.path, data={"csrf_token": self.token, **TYPED, **fields})

    def sign_in(self, staff: StaffAccount | None = None) -> None:
        move_session(self.colleagues.session(staff or self.staff, reason="ticket 4512")[0], self.browser)


@pytest.fixture
def colleague(colleagues: Colleagues) -> Desk:
    return Desk(colleagues)


@pytest.mark.row("K-28")
def test_letter_is_filled_in_again_after_the_proof_and_printed_by_a_second_click(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    build.ent()
    key, account = Authenticator(), build.active()
    browser, staff = colleagues.enrolled(key)
    path, before = f"/comptes/{account.id}/courrier", account.password_hash
    token = form_token(browser.get(path))
    age(staff, proved_at=now() - timedelta(minutes=11))
    sent = {"reason": REASON, "came": "y", "guardian": "y", "generation": str(account.generation), "layout": "letter"}
    answer = browser.post(path, data={"csrf_token": token, **sent})
    proof = answer.headers["Location"]
    assert proof == f"/preuve?suite=%2Fcomptes%2F{account.id}%2Fcourrier"
    assert "Ce que vous aviez rempli est gardé jusqu’à" in body(browser.get(proof))
    ceremony = key.get(options(browser, "/preuve/defi", proof))
    assert authenticator.answer_with(browser, ceremony, proof).headers["Location"] == path
    page = body(browser.get(path))
    assert f'value="{REASON}"' in page
    ticked = [name for name in ("came", "document", "guardian") if f'name="{name}" value="y" checked' in page]
    assert ticked == ["came", "guardian"]
    db.session.expire_all()
    assert db.session.get_one(Account, account.id).password_hash == before
    assert REASON not in body(browser.get(path))
    assert post(browser, path, **{**sent, "document": "y"}).headers["Location"].startswith("/travaux/")


@pytest.mark.row("K-28")
def test_another_colleague_never_sees_what_was_typed(colleague: Desk, colleagues: Colleagues) -> None:
    colleague.end_session()
    assert colleague.send().headers["Location"].startswith("/connexion")
    other = colleagues.person("Bruno Castel")
    colleagues.grant(other, Role.HEAD)
    colleague.sign_in(other)
    assert REASON not in body(colleague.browser.get(colleague.path))
    elsewhere, _ = colleagues.session(colleague.staff)
    assert REASON not in body(elsewhere.get(colleague.path)), "another browser of the same person"
    colleague.sign_in()
    assert REASON in body(colleague.browser.get(colleague.path))


@pytest.mark.row("K-28")
def test_page_that_is_refused_gives_nothing_back_and_keeps_the_form(colleague: Desk) -> None:
    colleague.end_session()
    colleague.send()
    colleague.role.role = Role.ENGINEER
    colleague.role.school_id = None
    db.session.commit()
    colleague.sign_in()
    page = colleague.browser.get(colleague.path)
    assert page.status_code == 404
    assert len(kept()) == 1


def test_form_is_gone_after_a_quarter_of_an_hour(colleague: Desk, build: Build) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        colleague.end_session()
        sign_in = colleague.send().headers["Location"]
        assert retention.purge(build.settings, now())["kept_forms"] == 0
        clock.shift(timedelta(minutes=15))
        assert "est gardé" not in body(colleague.browser.get(sign_in))
        colleague.sign_in()
        assert REASON not in body(colleague.browser.get(colleague.path))
        assert retention.purge(build.settings, now())["kept_forms"] == 1
    assert kept() == []


def test_only_the_last_ten_forms_of_a_person_are_kept(colleague: Desk, colleagues: Colleagues, build: Build) -> None:
    other = Desk(colleagues)
    for someone in (other, colleague):
        someone.end_session()
    other.send()
    first, paths = colleague.path, []
    for _ in range(kept_forms.MOST):
        colleague.path = f"/comptes/{build.active().id}/suspension"
        paths.append(colleague.path)
        colleague.send()
    colleague.path = first
    colleague.send()
    of_each = [sum(row.staff_id == someone.staff.id for row in kept()) for someone in (other, colleague)]
    assert of_each == [1, kept_forms.MOST]
    colleague.sign_in()
    assert [REASON in body(colleague.browser.get(path)) for path in (paths[0], paths[1], first)] == [False, True, True]


@pytest.mark.row("K-28")
def test_form_that_is_sent_twice_is_kept_once_and_taken_once(colleague: Desk) -> None:
    age(colleague.staff, proved_at=now() - timedelta(minutes=11))
    for words in ("premier envoi", "second envoi"):
        assert colleague.send(reason=words).headers["Location"].startswith("/preuve")
    assert len(kept()) == 1
    age(colleague.staff, proved_at=now())
    pages = [body(colleague.browser.get(colleague.path)) for _ in range(2)]
    assert ["second envoi" in page for page in pages] == [True, False]
    assert kept() == []


def test_stored_form_is_encrypted_and_bound_to_its_row(colleague: Desk, build: Build) -> None:
    colleague.end_session()
    colleague.send()
    [row] = kept()
    for words in (REASON, "RG 26", str(colleague.account.id)):
        assert words.encode() not in row.content + row.page + row.browser
    row.content = row.content[:-1] + bytes([row.content[-1] ^ 1])
    db.session.commit()
    colleague.sign_in()
    page = colleague.browser.get(colleague.path)
    assert (page.status_code, NOTHING_DONE in body(page)) == (200, False)


def send_file(colleague: Desk, size: int = 10) -> TestResponse:
    form = {"csrf_token": colleague.token, "uai": "0599001N", "fichiers": (io.BytesIO(b"x" * size), "secret.csv")}
    return colleague.browser.post("/fichiers", data=form, content_type="multipart/form-data")


def test_files_are_not_kept_and_the_page_says_so(colleagues: Colleagues) -> None:
    colleague = Desk(colleagues, Role.ENGINEER, page="/fichiers")
    colleague.end_session()
    assert send_file(colleague).headers["Location"] == "/connexion?suite=%2Ffichiers"
    colleague.sign_in()
    page = body(colleague.browser.get("/fichiers"))
    assert "choisissez-les de nouveau" in page
    assert "secret.csv" not in page
    assert db.session.query(Job).count() == 0


def test_files_that_were_too_large_to_be_received_are_to_be_chosen_again(colleagues: Colleagues) -> None:
    colleague = Desk(colleagues, page="/fichiers")
    colleague.end_session()
    sign_in = send_file(colleague, 2 * http.MAX_BODY).headers["Location"]
    assert sign_in == "/connexion?suite=/fichiers?fait%3Drien"
    assert kept() == []
    colleague.sign_in()
    page = body(colleague.browser.get(colleague.browser.get(sign_in).headers["Location"]))
    assert "choisissez-les de nouveau" in page


def test_passwords_and_codes_are_not_kept(colleagues: Colleagues) -> None:
    colleague = Desk(colleagues, page="/ma-securite")
    colleague.end_session()
    secret = "un mot de passe très long " * 20
    form = {"csrf_token": colleague.token, "password": secret, "code": "123456", "ceremony": "x" * 40}
    sign_in = colleague.browser.post("/ma-securite/code/enregistrer", data=form).headers["Location"]
    [row] = kept()
    assert len(row.content) < 100
    assert "est gardé" not in body(colleague.browser.get(sign_in))
    colleague.sign_in()
    assert "appuyez de nouveau sur le bouton" in body(colleague.browser.get("/ma-securite"))


@pytest.mark.row("K-28")
def test_form_comes_back_after_a_reason_that_was_asked_for_again(colleagues: Colleagues) -> None:
    colleague = Desk(colleagues, Role.HELPDESK)
    age(colleague.staff, reason_at=now() - timedelta(minutes=30))
    motive = colleague.send().headers["Location"]
    assert motive.startswith("/motif?suite=")
    assert post(colleague.browser, motive, reason="ticket 4513").headers["Location"] == colleague.path
    assert REASON in body(colleague.browser.get(colleague.path))


def test_word_comes_back_with_the_school_that_the_academy_chose(colleagues: Colleagues) -> None:
    school = colleagues.build.school()
    colleague = Desk(colleagues, Role.ENGINEER, page=f"/etablissement/mots-de-passe?uai={school.uai}")
    colleague.end_session()
    colleague.path = "/etablissement/mots-de-passe"
    colleague.send(uai=school.uai, word="BLOQUER")
    colleague.sign_in()
    page = body(colleague.browser.get(colleague.path))
    assert f'name="uai" value="{school.uai}"' in page
    assert 'value="BLOQUER"' in page


def test_draft_of_a_charter_gives_way_to_what_was_typed_since(colleagues: Colleagues, build: Build) -> None:
    ent = build.ent()
    client = db.session.query(Client).filter_by(client_id=ent.client_id).one()
    colleague = Desk(colleagues, Role.ENGINEER, page=f"/ent/{client.id}/charte")
    charters.keep_draft(client.id, "1", "# Le brouillon")
    colleague.end_session()
    colleague.send(version="2", text="# La suite")
    colleague.sign_in()
    texts = [body(colleague.browser.get(colleague.path)) for _ in range(2)]
    assert ["# La suite" in text for text in texts] == [True, False]
    assert ["# Le brouillon" in text for text in texts] == [False, True]


@pytest.mark.row("K-28")
@pytest.mark.parametrize("how", ["disabled", "role ended", "stranger", "wrong token", "unknown session", "no right"])
def test_nothing_is_kept_for_somebody_without_access(colleague: Desk, colleagues: Colleagues, how: str) -> None:
    colleague.end_session()
    match how:
        case "disabled":
            colleague.staff.disabled_at = now()
            db.session.commit()
        case "role ended":
            colleague.role.ended_at = now()
            db.session.commit()
        case "stranger":
            colleague.browser.delete_cookie(SESSION, domain=HOST)
        case "wrong token":
            colleague.token = form_token(colleagues.signed_in().get("/ma-securite"))
        case "no right":
            colleague.path = "/etablissement/mots-de-passe"
        case "unknown session":
            db.session.execute(delete(StaffSession).where(StaffSession.id == colleague.session.id))
            db.session.commit()
    answer = colleague.send()
    assert answer.status_code == (400 if how == "wrong token" else 303)
    assert kept() == []
    if how == "wrong token":
        assert "Ce que vous aviez rempli n’est pas gardé." in body(answer)
