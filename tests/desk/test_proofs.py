"""A proof replaces the cookie: what the former one still opens, two proofs at once, a session that ends meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.jobs.models import Job
from idp.desk.staff import authenticators, sessions
from idp.desk.staff.models import StaffAccount, StaffSession
from idp.desk.staff.sessions import FORMER_COOKIE
from tests.authenticator import Authenticator, options
from tests.builders import Build
from tests.desk import authenticator, test_codes
from tests.desk.colleagues import Colleagues, is_in, post
from tests.desk.school_files import families, send_with, sheet
from tests.desk.test_codes import MAIL, PASSWORD
from tests.pages import form_token

SESSION = "__Host-desk"
HOST = "bureau.exemple.test"
TO_PROOF = "/preuve?suite=%2Fma-securite"


def cookie_of(browser: FlaskClient) -> str:
    cookie = browser.get_cookie(SESSION, domain=HOST)
    assert cookie
    return cookie.value


def with_cookie(desk: Flask, value: str) -> FlaskClient:
    """Return a browser with a session cookie: a thief's, or the same browser's before it had another one."""
    browser = desk.test_client()
    browser.set_cookie(SESSION, value, domain=HOST, secure=True)
    return browser


def has_proof(browser: FlaskClient) -> bool:
    """Return whether an act that needs a fresh proof is done."""
    answer = post(browser, "/ma-securite/defi", "/etablissements")
    assert answer.status_code == 200 or answer.headers["Location"] == TO_PROOF
    return answer.status_code == 200


class Proving:
    """A colleague with a passkey, signed in for eleven minutes."""

    def __init__(self, desk: Flask, colleagues: Colleagues, clock: time_machine.Traveller) -> None:
        self.desk, self.clock, self.key = desk, clock, Authenticator()
        self.browser, self.staff = colleagues.enrolled(self.key)
        clock.shift(timedelta(minutes=11))
        self.former = cookie_of(self.browser)

    def prove(self) -> TestResponse:
        given = self.key.get(options(self.browser, "/preuve/defi", "/preuve"))
        answer = authenticator.answer_with(self.browser, given, "/preuve")
        assert answer.headers["Location"] == "/"
        return answer

    def lose_answer(self) -> None:
        """Let the browser have the cookie from before the proof, as if the answer had not arrived."""
        self.browser.set_cookie(SESSION, self.former, domain=HOST, secure=True)

    def thief(self) -> FlaskClient:
        return with_cookie(self.desk, self.former)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still in the middle of a time step of codes."""
    with time_machine.travel(now().replace(second=10, microsecond=0), tick=False) as clock:
        yield clock


@pytest.fixture
def colleague(desk: Flask, colleagues: Colleagues, clock: time_machine.Traveller) -> Proving:
    return Proving(desk, colleagues, clock)


def test_what_another_tab_was_sending_arrives(colleague: Proving) -> None:
    token = form_token(colleague.browser.get("/fichiers"))
    colleague.prove()
    colleague.lose_answer()  # the request began with this cookie
    answer = send_with(colleague.browser, token, sheet(*families(3)))
    assert answer.headers["Location"] == f"/travaux/{db.session.scalars(select(Job.id)).one()}"


def test_a_form_in_another_tab_outlives_a_proof(colleague: Proving) -> None:
    token = form_token(colleague.browser.get("/etablissements"))
    colleague.prove()
    answer = colleague.browser.post("/ma-securite/defi", data={"csrf_token": token})
    assert answer.status_code == 200
    assert db.session.query(StaffSession).filter_by(ended_at=None).count() == 1


@pytest.mark.row("K-32")
def test_the_former_cookie_has_no_proof_and_ends_after_five_minutes(colleague: Proving) -> None:
    colleague.prove()
    thief = colleague.thief()
    assert is_in(thief)
    assert not has_proof(thief)
    assert has_proof(colleague.browser)
    colleague.clock.shift(FORMER_COOKIE - timedelta(seconds=1))
    assert is_in(thief)
    assert not has_proof(thief)
    colleague.clock.shift(timedelta(seconds=1))
    assert not is_in(thief)
    assert is_in(colleague.browser)


def test_who_never_received_the_answer_stays_signed_in_and_proves_again(colleague: Proving) -> None:
    lost, browser = cookie_of_answer(colleague.prove()), colleague.browser
    colleague.lose_answer()
    assert is_in(browser)
    assert browser.get(TO_PROOF).status_code == 200, "the proof is asked for again"
    colleague.prove()
    assert cookie_of(browser) not in {colleague.former, lost}
    assert has_proof(browser)
    assert not is_in(colleague.thief()), "the cookie before the last one is over at once"
    assert not has_proof(with_cookie(colleague.desk, lost))


def cookie_of_answer(answer: TestResponse) -> str:
    lines = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith(f"{SESSION}=")]
    return lines[0].partition(";")[0].partition("=")[2] if lines else ""


def test_who_never_received_the_answer_loses_no_form_later(colleague: Proving, build: Build) -> None:
    path = f"/comptes/{build.active().id}/suspension"
    browser, token = colleague.browser, form_token(colleague.browser.get("/fichiers"))
    colleague.prove()
    proved = cookie_of(browser)
    colleague.lose_answer()
    colleague.clock.shift(FORMER_COOKIE)
    answer = browser.post(path, data={"csrf_token": token, "reason": "jugement du 3 novembre"})
    assert answer.headers["Location"].startswith("/connexion?suite=")
    authenticator.sign_in(browser, colleague.key)
    assert "jugement du 3 novembre" in browser.get(path).get_data(as_text=True)
    assert not is_in(with_cookie(colleague.desk, proved)), "the former session of the browser ended"


def test_signing_out_with_the_former_cookie_ends_the_session(colleague: Proving) -> None:
    colleague.prove()
    assert post(colleague.thief(), "/deconnexion", "/etablissements").headers["Location"] == "/connexion"
    assert not is_in(colleague.browser)
    assert not is_in(colleague.thief())


def test_the_journal_says_that_an_act_came_with_the_former_cookie(colleague: Proving) -> None:
    colleague.prove()
    post(colleague.thief(), "/deconnexion", "/etablissements")
    entries = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "staff.sign_out")).all()
    assert [entry.details["desk"].get("former_cookie") for entry in entries] == [True]
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "staff.proved")).one()
    assert "former_cookie" not in entry.details["desk"]


@pytest.fixture
def during_the_check(monkeypatch: pytest.MonkeyPatch, desk: Flask) -> Iterator[list[Callable[[], Any]]]:
    """What happens in another request while a password is checked: the function of the list, once."""
    todo: list[Callable[[], Any]] = []
    check = authenticators.is_password

    def call(act: Callable[[], Any]) -> None:
        with desk.app_context():
            act()

    with ThreadPoolExecutor(1) as threads:

        def is_password(*arguments: Any) -> bool:
            if todo:
                threads.submit(call, todo.pop()).result(60)
            return check(*arguments)

        monkeypatch.setattr(authenticators, "is_password", is_password)
        yield todo


@pytest.fixture
def sylvie(clock: time_machine.Traveller, desk: Flask, colleagues: Colleagues) -> test_codes.Enrolled:
    """A person who enrolled with a code eleven minutes ago."""
    enrolled = test_codes.enrol(desk.test_client(), colleagues.invited(email=MAIL))
    clock.shift(timedelta(minutes=11))
    return enrolled


def proofs() -> list[str]:
    db.session.expire_all()
    return list(db.session.scalars(select(AuditEntry.result).where(AuditEntry.kind == "staff.proved")))


def test_one_of_two_proofs_at_once_replaces_the_cookie(
    desk: Flask, sylvie: test_codes.Enrolled, during_the_check: list[Callable[[], Any]]
) -> None:
    other_tab = with_cookie(desk, cookie_of(sylvie.browser))
    token = form_token(other_tab.get("/preuve"))
    winner = {"csrf_token": token, "password": PASSWORD, "code": sylvie.recovery[0]}
    during_the_check.append(lambda: other_tab.post("/preuve", data=winner))
    answer = post(sylvie.browser, "/preuve?suite=/ma-securite", password=PASSWORD, code=sylvie.code())
    assert answer.headers["Location"] == "/ma-securite"
    assert cookie_of_answer(answer) == "", "the browser has that of the other proof"
    assert has_proof(other_tab)
    assert proofs() == ["ok"]


def test_a_proof_of_a_session_that_ended_meanwhile_leads_to_the_sign_in(
    sylvie: test_codes.Enrolled, during_the_check: list[Callable[[], Any]]
) -> None:
    staff_id = db.session.scalars(select(StaffAccount.id)).one()

    def end() -> None:
        with unit_of_work():
            sessions.end(StaffSession.staff_id == staff_id, by="person")

    during_the_check.append(end)
    answer = post(sylvie.browser, TO_PROOF, "/preuve", password=PASSWORD, code=sylvie.code())
    assert answer.headers["Location"] == "/connexion?suite=%2Fpreuve%3Fsuite%3D%252Fma-securite"
    assert cookie_of_answer(answer) == ""
    assert proofs() == []
    assert db.session.query(StaffSession).filter_by(ended_at=None).count() == 0
