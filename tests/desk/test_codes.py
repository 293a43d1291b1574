"""The fallback at the desk: a password together with a code, each code once; recovery codes; rate limits."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape
from math import log2
from typing import Any

import pyotp
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.passwords.hasher import Hasher
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff import authenticators
from idp.desk.staff.models import CredentialKind, StaffCredential
from idp.desk.team import mails
from idp.outbox.queue import OutboxMessage
from tests.authenticator import Authenticator
from tests.desk.colleagues import Colleagues, post
from tests.desk.conftest import DeskBrowser
from tests.pages import form_token, heading
from tests.racing import Racer, race

PASSWORD = "plumeau vert sous la table ronde"
MAIL = "sylvie@bureau.test"
REFUSED = "Cette adresse, ce mot de passe et ce code n’ouvrent pas le bureau."
STEP = timedelta(seconds=30)


@dataclass
class Enrolled:
    totp: pyotp.TOTP
    recovery: list[str]
    browser: FlaskClient

    def code(self, steps: int = 0) -> str:
        """Return the code that the application shows after some steps."""
        return self.totp.at(now() + steps * STEP)


def secret_of(page: TestResponse) -> str:
    match = re.search(r'class="mono big" dir="ltr">([A-Z2-7 ]+)<', page.get_data(as_text=True))
    assert match, page.get_data(as_text=True)
    return match[1].replace(" ", "")


def shown_codes(page: TestResponse) -> list[str]:
    return re.findall(r'<li class="mono" dir="ltr">([0-9A-Z-]{29})</li>', page.get_data(as_text=True))


def ceremony_of(page: TestResponse) -> str:
    match = re.search(r'name="ceremony" value="([^"]+)"', page.get_data(as_text=True))
    assert match
    return match[1]


def enrol(browser: FlaskClient, link: str, password: str = PASSWORD) -> Enrolled:
    begun = post(browser, f"{link}/code", link)
    totp = pyotp.TOTP(secret_of(begun))
    [link_of_phone] = re.findall(r'href="(otpauth:[^"]+)"', begun.get_data(as_text=True))
    assert pyotp.parse_uri(unescape(link_of_phone)).secret == totp.secret
    fields = {"ceremony": ceremony_of(begun), "password": password, "code": totp.at(now())}
    page = browser.post(link, data={"csrf_token": form_token(begun), **fields})
    assert heading(page) == "Vos codes de secours", page.get_data(as_text=True)
    return Enrolled(totp, shown_codes(page), browser)


def sign_in(browser: FlaskClient, code: str, *, email: str = MAIL, password: str = PASSWORD) -> TestResponse:
    return post(browser, "/connexion", email=email, password=password, code=code)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still in the middle of a time step."""
    start = now().replace(second=10, microsecond=0)
    with time_machine.travel(start, tick=False) as clock:
        yield clock


@pytest.fixture
def sylvie(clock: time_machine.Traveller, desk: Flask, colleagues: Colleagues) -> Enrolled:
    """A person who enrolled with a code a minute ago."""
    enrolled = enrol(desk.test_client(), colleagues.invited(email=MAIL))
    clock.shift(2 * STEP)
    return enrolled


def test_the_code_of_the_enrolment_is_used(
    clock: time_machine.Traveller, desk: Flask, colleagues: Colleagues, visitor: FlaskClient
) -> None:
    enrolled = enrol(desk.test_client(), colleagues.invited(email=MAIL))
    assert REFUSED in sign_in(visitor, enrolled.code()).get_data(as_text=True)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        (PASSWORD, "000000"),
        (PASSWORD, "0" * 12),
        (PASSWORD, "é" * 6),
        (PASSWORD, "١٢٣٤٥٦"),
        ("un autre mot de passe", ""),
        (PASSWORD.upper(), ""),
    ],
)
def test_one_factor_opens_nothing(visitor: FlaskClient, sylvie: Enrolled, password: str, code: str) -> None:
    page = sign_in(visitor, code or sylvie.code(), password=password)
    assert REFUSED in page.get_data(as_text=True)
    assert visitor.get("/").status_code == 303


def test_a_password_alone_is_asked_for_its_code(visitor: FlaskClient, sylvie: Enrolled) -> None:
    page = sign_in(visitor, "")
    assert "Tapez le code de l’application" in page.get_data(as_text=True)


@pytest.mark.parametrize(("steps", "opens"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_wrong(
    clock: time_machine.Traveller, visitor: FlaskClient, sylvie: Enrolled, steps: int, *, opens: bool
) -> None:
    clock.shift(4 * STEP)
    assert (sign_in(visitor, sylvie.code(steps)).status_code == 303) is opens


def test_a_code_and_those_before_it_work_once(desk: Flask, clock: object, sylvie: Enrolled) -> None:
    before, code = sylvie.code(-1), sylvie.code()
    assert sign_in(desk.test_client(), code).status_code == 303
    for used in (code, before):
        assert REFUSED in sign_in(desk.test_client(), used).get_data(as_text=True)


def sign_in_at_once(racer: Racer) -> int:
    """Sign in with the code of the order, at its moment and that of the others; return the status."""
    moment = datetime.fromisoformat(racer.order["moment"])
    with time_machine.travel(moment, tick=False), racer.app.app_context():
        browser = DeskBrowser(racer.app)
        token = form_token(browser.get("/connexion"))
        racer.wait_for_others()
        fields = {"csrf_token": token, "email": MAIL, "password": PASSWORD, "code": racer.order["code"]}
        return browser.post("/connexion", data=fields).status_code


@pytest.mark.parametrize("kind", ["code", "recovery"])
def test_one_of_several_requests_at_once_uses_a_code(sylvie: Enrolled, database_url: str, kind: str) -> None:
    order = {"code": sylvie.code() if kind == "code" else sylvie.recovery[0], "moment": now().isoformat()}
    assert sorted(race(sign_in_at_once, database_url, order, at_desk=True)) == [200, 200, 200, 303]


def test_a_recovery_code_replaces_the_application_once(desk: Flask, sylvie: Enrolled) -> None:
    assert len(set(sylvie.recovery)) == authenticators.RECOVERY_CODES
    typed = sylvie.recovery[3].lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert REFUSED in sign_in(desk.test_client(), typed, password="x").get_data(as_text=True)
    assert sign_in(desk.test_client(), typed).status_code == 303
    assert REFUSED in sign_in(desk.test_client(), sylvie.recovery[3]).get_data(as_text=True)
    assert re.search(r"reste\s: 9", sylvie.browser.get("/ma-securite").get_data(as_text=True))


def test_nobody_uses_the_recovery_code_of_another(desk: Flask, colleagues: Colleagues, sylvie: Enrolled) -> None:
    other = enrol(desk.test_client(), colleagues.invited("Ahmed Roux", email="ahmed@bureau.test"))
    assert REFUSED in sign_in(desk.test_client(), other.recovery[0]).get_data(as_text=True)


def test_new_recovery_codes_end_the_former(visitor: FlaskClient, sylvie: Enrolled) -> None:
    page = post(sylvie.browser, "/ma-securite/codes-de-secours", "/etablissements")
    assert len(shown_codes(page)) == 10
    assert REFUSED in sign_in(visitor, sylvie.recovery[0]).get_data(as_text=True)
    assert sign_in(visitor, shown_codes(page)[0]).status_code == 303


def test_an_unknown_mailbox_takes_the_hash_too(
    visitor: FlaskClient, sylvie: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str | None] = []
    verify = Hasher.verify

    def note(self: Hasher, hashed: str | None, *more: Any) -> bool:
        stored.append(hashed)
        return verify(self, hashed, *more)

    monkeypatch.setattr(Hasher, "verify", note)
    known = sign_in(visitor, "000000").get_data(as_text=True)
    unknown = sign_in(visitor, "000000", email="personne@bureau.test").get_data(as_text=True)
    assert [hashed is None for hashed in stored] == [False, True]
    assert [REFUSED in page for page in (known, unknown)] == [True, True]


def test_a_mailbox_is_found_as_it_is_typed(visitor: FlaskClient, sylvie: Enrolled) -> None:
    assert sign_in(visitor, sylvie.code(), email="  Sylvie@Bureau.test ").status_code == 303


def test_wrong_codes_of_one_mailbox_are_slowed_down_also_of_an_unknown_one(
    desk: Flask, clock: time_machine.Traveller, sylvie: Enrolled
) -> None:
    for email in (MAIL, "x@bureau.test"):
        answers = [sign_in(desk.test_client(), "000000", email=email) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
    assert sign_in(desk.test_client(), sylvie.code()).status_code == 429
    clock.shift(timedelta(minutes=10))
    assert sign_in(desk.test_client(), sylvie.code()).status_code == 303


def test_wrong_codes_from_one_ip_are_limited(desk: Flask, sylvie: Enrolled) -> None:
    browser = desk.test_client()
    token = form_token(browser.get("/connexion"))
    statuses = [
        browser.post(
            "/connexion", data={"csrf_token": token, "email": f"x{n}@bureau.test", "password": "x", "code": "1"}
        ).status_code
        for n in range(61)
    ]
    assert statuses[:60] == [200] * 60
    assert statuses[60] == 429


def test_a_proof_is_limited_like_a_sign_in(clock: time_machine.Traveller, sylvie: Enrolled) -> None:
    clock.shift(timedelta(minutes=11))
    answers = [post(sylvie.browser, "/preuve", password=PASSWORD, code="000000") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[-1].headers["Retry-After"]
    entries = db.session.query(AuditEntry).filter_by(kind="staff.proved").all()
    assert [(entry.result, entry.details["authenticator"]) for entry in entries] == [("refused", "code")] * 5


def guess_elsewhere(desk: Flask) -> TestResponse:
    """Type wrong codes for Sylvie in other browsers, until they are slowed down."""
    for _ in range(6):
        page = sign_in(desk.test_client(), "000000")
    assert page.status_code == 429
    return page


def test_a_stranger_who_guesses_blocks_no_proof(desk: Flask, clock: time_machine.Traveller, sylvie: Enrolled) -> None:
    clock.shift(timedelta(minutes=11))
    guess_elsewhere(desk)
    assert post(sylvie.browser, "/preuve", password=PASSWORD, code=sylvie.code()).headers["Location"] == "/"


def test_a_known_device_signs_in_while_a_stranger_guesses(
    desk: Flask, clock: time_machine.Traveller, sylvie: Enrolled
) -> None:
    post(sylvie.browser, "/deconnexion", "/etablissements")
    guess_elsewhere(desk)
    for _ in range(5):
        assert sign_in(sylvie.browser, "000000").status_code == 200
    assert sign_in(sylvie.browser, "000000").status_code == 429
    clock.shift(STEP)
    assert sign_in(sylvie.browser, sylvie.code()).headers["Location"] == "/"


def test_the_device_of_a_colleague_guesses_in_the_bucket_of_the_account(
    desk: Flask, colleagues: Colleagues, sylvie: Enrolled
) -> None:
    other = enrol(desk.test_client(), colleagues.invited("Ahmed Roux", email="ahmed@bureau.test")).browser
    post(other, "/deconnexion", "/etablissements")
    guess_elsewhere(desk)
    assert sign_in(other, sylvie.code()).status_code == 429


@pytest.mark.row("K-20")
def test_a_code_proves_once(clock: time_machine.Traveller, sylvie: Enrolled) -> None:
    clock.shift(timedelta(minutes=11))
    code = sylvie.code()
    assert post(sylvie.browser, "/preuve", password=PASSWORD, code=code).headers["Location"] == "/"
    clock.shift(timedelta(minutes=11))
    assert post(sylvie.browser, "/preuve", password=PASSWORD, code=code).status_code == 200


@pytest.mark.parametrize("password", ["court", "motdepasse123", "sylvie marchand 1", "            "])
def test_a_weak_password_enrols_nothing(clock: object, desk: Flask, colleagues: Colleagues, password: str) -> None:
    browser, link = desk.test_client(), colleagues.invited()
    begun = post(browser, f"{link}/code", link)
    fields = {
        "ceremony": ceremony_of(begun),
        "password": password,
        "code": pyotp.TOTP(secret_of(begun)).at(now()),
    }
    page = browser.post(link, data={"csrf_token": form_token(begun), **fields})
    assert heading(page) == "Mot de passe et code"
    assert browser.get("/").status_code == 303
    assert browser.get(link).status_code == 200


def test_a_wrong_first_code_keeps_the_secret(clock: object, desk: Flask, colleagues: Colleagues) -> None:
    browser, link = desk.test_client(), colleagues.invited()
    begun = post(browser, f"{link}/code", link)
    fields = {"ceremony": ceremony_of(begun), "password": PASSWORD, "code": "000000"}
    page = browser.post(link, data={"csrf_token": form_token(begun), **fields})
    assert secret_of(page) == secret_of(begun)
    assert "Ce n’est pas le code que l’application montre" in unescape(page.get_data(as_text=True))


def test_the_secret_of_another_browser_enrols_nothing(clock: object, desk: Flask, colleagues: Colleagues) -> None:
    link = colleagues.invited()
    begun = post(desk.test_client(), f"{link}/code", link)
    browser = desk.test_client()
    for ceremony in (ceremony_of(begun), "", "x", "\x00"):
        fields = {"ceremony": ceremony, "password": PASSWORD, "code": pyotp.TOTP(secret_of(begun)).at(now())}
        page = post(browser, link, **fields)
        assert "Cette page est restée ouverte trop longtemps." in page.get_data(as_text=True)


def test_a_code_is_added_beside_a_passkey(
    clock: time_machine.Traveller, desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, staff = colleagues.enrolled(Authenticator())
    other, _ = colleagues.session(staff)
    begun = post(browser, "/ma-securite/code", "/etablissements")
    totp = pyotp.TOTP(secret_of(begun))
    fields = {"ceremony": ceremony_of(begun), "password": PASSWORD, "code": totp.at(now())}
    with monkeypatch.context() as patched:
        patched.setattr(authenticators, "use_ceremony", lambda *_: None)  # another request has just used the form
        lost = browser.post("/ma-securite/code/enregistrer", data={"csrf_token": form_token(begun), **fields})
    assert "seul le premier envoi a compté" in lost.get_data(as_text=True)
    added = browser.post("/ma-securite/code/enregistrer", data={"csrf_token": form_token(begun), **fields})
    assert heading(added) == "Vos codes de secours", "they come with the password"
    message = db.session.query(OutboxMessage).filter_by(kind=mails.NEW_CREDENTIAL).one()
    assert message.payload["credential"] == "totp"
    assert other.get("/").status_code == 303
    clock.shift(STEP)
    assert sign_in(desk.test_client(), totp.at(now()), email=staff.email).status_code == 303


def test_the_secret_is_encrypted_for_its_person(desk: Flask, colleagues: Colleagues, sylvie: Enrolled) -> None:
    row = db.session.scalars(select(StaffCredential).where(StaffCredential.kind == CredentialKind.TOTP)).one()
    assert row.secret
    assert sylvie.totp.secret.encode() not in row.secret
    settings = colleagues.build.settings
    assert authenticators.open_totp(settings, row.staff_id, row.secret) == sylvie.totp.secret
    assert authenticators.open_totp(settings, colleagues.person().id, row.secret) is None


def test_recovery_codes_have_112_bits_and_are_stored_as_digests(sylvie: Enrolled) -> None:
    assert {len(code.replace("-", "")) * log2(32) for code in sylvie.recovery} == {120}
    assert {*"".join(sylvie.recovery)} <= {*"0123456789ABCDEFGHJKMNPQRSTVWXYZ-"}
    stored = db.session.scalars(
        select(StaffCredential.secret).where(StaffCredential.kind == CredentialKind.RECOVERY_CODE)
    ).all()
    assert {len(secret or b"") for secret in stored} == {32}


def test_a_refusal_names_no_mailbox_in_the_journal(visitor: FlaskClient, sylvie: Enrolled) -> None:
    sign_in(visitor, "000000")
    entry = db.session.scalar(
        select(AuditEntry.details).where(AuditEntry.kind == "staff.sign_in", AuditEntry.result == "refused")
    )
    assert entry
    assert entry["reason"] == "code"
    assert (len(entry["mailbox_digest"]), MAIL in str(entry)) == (32, False)
