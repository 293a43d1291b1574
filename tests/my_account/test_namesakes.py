"""When two accounts are surely one person's: the names agree, and the home, the mailbox or the family too."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.merging import merge, surely_one_person
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db, unit_of_work
from tests.builders import HOME, Build
from tests.closed import dispute_tie
from tests.email_confirmation.post import html_of, post_office, text_of as mail_text
from tests.my_account.steps import enter
from tests.my_account.test_letter import add
from tests.my_account.test_passkeys import new_letter
from tests.rows import each_row

pytestmark = pytest.mark.row("R-16")

MAIL = "noemie.leroy@exemple.fr"
OWN, EX, OF_FILE = "noemie@exemple.fr", "ex@exemple.fr", "Vraie.Mere@exemple.fr"
ADDED, JOINED = "Un courrier à votre nom a été ajouté à un compte", "Votre compte a été réuni à un autre compte"


def pair(build: Build, mine: dict[str, Any], other: dict[str, Any]) -> tuple[Account, Account]:
    return build.active(**{"email": MAIL, **mine}), build.never_activated(**other)


@each_row(
    ("mine", "other"),
    [
        (HOME, HOME),
        (HOME, {**HOME, "address_lines": ["4, RUE", "du Canal"], "city": "RIVEBELLE"}),
        ({}, {"school_email": "Noemie.Leroy@exemple.fr"}),
    ],
)
def test_a_home_or_a_mailbox_in_common_is_enough(build: Build, mine: dict[str, Any], other: dict[str, Any]) -> None:
    assert surely_one_person(*pair(build, mine, other))


@each_row(
    ("mine", "other"),
    [
        ({}, {}),
        (HOME, {**HOME, "address_lines": ["6 rue du Canal"]}),
        ({**HOME, "city": ""}, {**HOME, "city": ""}),
        ({"email": None, "pending_email": MAIL}, {"school_email": MAIL}),
        ({"school_email": "a@exemple.fr"}, {"school_email": "a@exemple.fr"}),
        (HOME, {**HOME, "given_name": "Karim", "school_email": MAIL}),
    ],
)
def test_a_namesake_or_another_name_is_a_question(build: Build, mine: dict[str, Any], other: dict[str, Any]) -> None:
    assert not surely_one_person(*pair(build, mine, other))


@pytest.mark.parametrize("closed", ["", "ended", "disputed"])
def test_a_pupil_or_a_co_guardian_in_common_is_enough_while_nobody_disputes_it(build: Build, closed: str) -> None:
    malo, ines = build.child("Malo"), build.child("Inès")
    mother, letter = build.active(children=[malo]), build.never_activated(children=[ines])
    assert not surely_one_person(mother, letter)
    father = build.active(children=[malo, ines], given_name="Karim")
    same = build.never_activated(children=[malo])
    for tie in (father.guardianships[1], same.guardianships[0]):
        if closed == "ended":
            tie.ended_at = now()
        elif closed:
            dispute_tie(tie)
    db.session.commit()
    assert surely_one_person(mother, letter) is (not closed)
    assert surely_one_person(mother, same) is (not closed)


def test_the_address_of_the_file_learns_it_without_an_identifier(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    build.school().phone = "03 53 01 40 41"
    mine = build.active(email=MAIL, **HOME)
    letter = build.never_activated(school_email=OF_FILE, **HOME)
    same = build.never_activated(school_email=MAIL.upper())
    with post_office(app) as office:
        enter(browser, mine)
        add(browser, letter.username)
        mails = {mail["To"]: mail for mail in office.deliver()}
        add(browser, same.username)
        assert {mail["To"] for mail in office.deliver()[len(mails) :]} == {MAIL}
    assert set(mails) == {MAIL, OF_FILE}
    mail = mails[OF_FILE]
    assert mail["Subject"] == ADDED
    for part in (mail_text(mail), html_of(mail)):
        text = " ".join(part.split())
        assert "03 53 01 40 41" in text.replace("\u00a0", " ")
        assert not [secret for secret in (mine.username, letter.username, "Malo", "Passerelle") if secret in text]


@each_row(
    ("had", "contested", "of_file", "subjects"),
    [
        ([OWN], None, OF_FILE, {OWN: JOINED, OF_FILE: ADDED}),
        ([OWN], None, OWN.upper(), {OWN: JOINED}),
        ([EX, OWN], None, None, {OWN: JOINED}),
        ([OWN, EX, OWN], None, None, {OWN: JOINED}),
        ([OWN, EX], OWN, None, {OWN: JOINED, EX: JOINED}),
        ([OWN, MAIL], None, None, {}),
    ],
)
def test_the_mailbox_that_a_letter_took_from_the_account_learns_it_once(
    app: Flask, build: Build, had: list[str], contested: str | None, of_file: str | None, subjects: dict[str, str]
) -> None:
    build.school().phone = "03 53 01 40 41"
    mine = build.active(email=MAIL)
    other = build.active(email=had[0], school_email=of_file, contested_email=contested)
    for email in had[1:]:
        other.email = email
        db.session.commit()
    new_letter(build.settings, other)
    with post_office(app) as office:
        before = len(office.deliver())
        with unit_of_work():
            merge(build.settings, mine, other)
        sent = [(mail["To"], mail) for mail in office.deliver()[before:]]
    kept = (MAIL, "Un courrier est ajouté à votre compte")
    assert sorted((email, mail["Subject"]) for email, mail in sent) == sorted([kept, *subjects.items()])
    mails = dict(sent)
    for email in subjects.keys() & {OWN, EX}:
        for part in (mail_text(mails[email]), html_of(mails[email])):
            text = " ".join(part.split()).replace("\u00a0", " ")
            assert "03 53 01 40 41" in text
            assert other.username in text
            assert not [secret for secret in (mine.username, MAIL, "Malo", "Passerelle") if secret in text]
