"""Sessions at the desk: cookies, 30 minutes idle, 8 hours at most, sign-out, fixation, the mail about a new device."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from idp.app import create_app
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.staff.models import Role, StaffRole, StaffSession
from idp.desk.staff.posts import Grant
from idp.desk.team import colleagues as team, invitations, mails
from idp.desk.team.mails import NEW_DEVICE
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from tests.authenticator import Authenticator, options
from tests.builders import LYCEE, Build
from tests.databases import DESK, ISSUER
from tests.desk import authenticator
from tests.desk.colleagues import Colleagues, is_in, post
from tests.pages import form_token

SESSION = "__Host-desk"


def set_cookies(answer: TestResponse) -> dict[str, str]:
    """Return the `Set-Cookie` headers by the name of the cookie."""
    return {line.partition("=")[0]: line for line in answer.headers.getlist("Set-Cookie")}


def value(line: str) -> str:
    return next(iter(parse_cookie(line.partition(";")[0]).values()))


def test_the_cookie_of_a_session_is_strict_and_stored_as_a_digest(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    colleagues.enrolled(key)
    line = set_cookies(authenticator.sign_in(desk.test_client(), key))[SESSION]
    attributes = {part.strip() for part in line.split(";")[1:]}
    assert attributes == {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"}
    assert len(value(line)) == 43
    for session in db.session.scalars(select(StaffSession)):
        assert (len(session.digest), value(line).encode() in session.digest) == (32, False)


def test_the_desk_shares_no_cookie_with_the_parents(desk: Flask, colleagues: Colleagues) -> None:
    browser, _ = colleagues.enrolled(Authenticator())
    assert browser._cookies
    for cookie in browser._cookies.values():
        assert cookie.domain == DESK.removeprefix("https://")
        assert cookie.origin_only
        assert cookie.decoded_key.startswith("__Host-")
    assert DESK.partition("://")[2] != ISSUER.partition("://")[2]


def test_a_session_that_was_fixed_before_the_sign_in_is_worth_nothing(desk: Flask, colleagues: Colleagues) -> None:
    key, fixed = Authenticator(), "A" * 43
    colleagues.enrolled(key)
    browser = desk.test_client()
    browser.set_cookie(SESSION, fixed, domain="bureau.exemple.test", secure=True)
    line = set_cookies(authenticator.sign_in(browser, key))[SESSION]
    assert value(line) != fixed
    thief = desk.test_client()
    thief.set_cookie(SESSION, fixed, domain="bureau.exemple.test", secure=True)
    assert not is_in(thief)


def test_a_form_from_before_the_sign_in_is_refused(desk: Flask, colleagues: Colleagues) -> None:
    key, browser = Authenticator(), desk.test_client()
    colleagues.enrolled(key)
    token = form_token(browser.get("/connexion"))
    authenticator.sign_in(browser, key)
    assert browser.post("/deconnexion", data={"csrf_token": token}).status_code == 400


@pytest.mark.parametrize(("minutes", "still"), [(29, True), (30, False)])
def test_a_session_ends_after_half_an_hour_idle(colleagues: Colleagues, minutes: int, *, still: bool) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        browser = colleagues.signed_in()
        clock.shift(timedelta(minutes=minutes))
        assert is_in(browser) is still


def test_a_session_ends_after_eight_hours_of_work(colleagues: Colleagues) -> None:
    with time_machine.travel(now(), tick=False):
        colleagues.enrolled(Authenticator())
        assert db.session.scalars(select(StaffSession.expires_at)).one() == now() + timedelta(hours=8)


def test_signing_out_ends_the_session_and_its_cookie(desk: Flask, colleagues: Colleagues) -> None:
    browser, _ = colleagues.enrolled(Authenticator())
    cookie = browser.get_cookie(SESSION, domain="bureau.exemple.test")
    assert cookie
    answer = post(browser, "/deconnexion", "/etablissements")
    assert answer.headers["Location"] == "/connexion"
    assert "Max-Age=0" in set_cookies(answer)[SESSION]
    thief = desk.test_client()
    thief.set_cookie(SESSION, cookie.value, domain="bureau.exemple.test", secure=True)
    assert not is_in(thief)


def test_a_person_ends_a_session_elsewhere_and_none_of_another(desk: Flask, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    here, _ = colleagues.session(staff)
    elsewhere, session = colleagues.session(staff)
    theirs = colleagues.signed_in(Role.HEAD)
    their_session = db.session.scalars(select(StaffSession).where(StaffSession.staff_id != staff.id)).one()
    for key in (str(session.id), str(their_session.id), "", "x", "\x00"):
        assert post(here, "/ma-securite/sessions", "/etablissements", session=key).status_code == 303
    assert [is_in(browser) for browser in (here, elsewhere, theirs)] == [True, False, True]


def test_odd_cookies_open_nothing(visitor: FlaskClient) -> None:
    for text in ("", "x", "é" * 43, "A" * 43, "A" * 3000, "\u20ac" * 43):
        visitor.set_cookie(SESSION, text, domain="bureau.exemple.test", secure=True)
        assert visitor.get("/").status_code in {303, 400}


def messages() -> set[str]:
    """Return whom a mail about a new device is for."""
    rows = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == NEW_DEVICE))
    return {row.payload["recipient"] for row in rows}


def test_a_new_device_is_told_to_the_person_and_the_heads(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    browser, staff = colleagues.enrolled(key)
    heads = [colleagues.person("Bruno Castel") for _ in range(2)]
    elsewhere, gone, expired, invited = (colleagues.person() for _ in range(4))
    for head in (*heads, gone, invited):
        colleagues.grant(head, Role.HEAD)
    invited.enrolled_at = None
    colleagues.grant(elsewhere, Role.HEAD, uai=LYCEE)
    colleagues.grant(expired, Role.HEAD, days=-1)
    gone.disabled_at = now()
    db.session.commit()
    post(browser, "/deconnexion", "/etablissements")
    authenticator.sign_in(browser, key)
    assert messages() == set()  # the device of the enrolment is known
    authenticator.sign_in(desk.test_client(), key)
    assert messages() == {str(person.id) for person in (staff, *heads)}


def hand_over_all(settings: Settings, kind: str) -> None:
    """Send the mails of a kind as the worker does, which is another application."""
    messages_to_send = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == kind)).all()
    with create_app(settings).app_context():
        for message in messages_to_send:
            assert mails.hand_over_sign_in(message, settings) is Outcome.DONE
        db.session.remove()
        db.engine.dispose()


def test_a_new_device_and_new_means_to_sign_in_are_told_by_mail(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "idp.desk.team.mails.deliver",
        lambda mail, to: sent.append((to, " ".join(mail.get_body(("plain",)).get_content().split()))),
    )
    key = Authenticator()
    browser, staff = colleagues.enrolled(key)
    head = colleagues.person("Bruno Castel")
    colleagues.grant(head, Role.HEAD)
    authenticator.sign_in(desk.test_client(), key)
    added = options(browser, "/ma-securite/defi", "/etablissements")
    post(browser, "/ma-securite/cles", "/etablissements", passkey=Authenticator().create(added))
    for kind in (NEW_DEVICE, mails.NEW_CREDENTIAL):
        hand_over_all(colleagues.build.settings, kind)
    assert sorted(to for to, _ in sent) == sorted([staff.email, head.email] * 2)
    assert [staff.name in text for to, text in sent if to == head.email] == [True, True]
    of_key = dict(sent[2:])
    assert "vous avez ajouté une clé d’accès" in of_key[staff.email]
    assert "Sylvie Marchand a ajouté une clé d’accès" in of_key[head.email]


def test_a_refused_sign_in_tells_that_the_access_is_over(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    _, staff = colleagues.enrolled(key)
    db.session.query(StaffRole).filter_by(staff_id=staff.id).update({"ended_at": now()})
    db.session.commit()
    browser = desk.test_client()
    page = authenticator.sign_in(browser, key)
    assert "Votre accès au bureau est terminé." in page.get_data(as_text=True)
    reasons = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "staff.sign_in", AuditEntry.result == "refused")
    ).all()
    assert [details["reason"] for details in reasons] == ["no_role"]
    assert not is_in(browser)


def test_a_session_ends_with_the_role_in_which_it_acts(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person()
    ended, kept = colleagues.grant(staff, Role.SECRETARY), colleagues.grant(staff, Role.SECRETARY, uai=LYCEE)
    browsers = {}
    for row in (ended, kept):
        browsers[row.id], session = colleagues.session(staff)
        session.role_id = row.id
    db.session.commit()
    team.end(ended.id, may_end_last=False)
    assert browsers[kept.id].get("/").status_code == 200
    assert browsers[ended.id].get("/").status_code == 303


def test_a_role_that_expired_leaves_no_session_to_the_next_one(colleagues: Colleagues, build: Build) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY, days=-1)
    browser, _ = colleagues.session(staff)
    invitations.invite(build.settings, staff.email, staff.name, Grant(Role.SECRETARY, [build.school()]))
    assert browser.get("/").status_code == 303
