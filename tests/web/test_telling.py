"""What a page or a mail says of telling somebody is true: each test here proves sentences of `architecture/told.py`."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account, SchoolNotice
from idp.accounts.one_time_links import Purpose
from idp.accounts.school_digest import DIGESTS, DIGESTS_PERIOD
from idp.db import db
from idp.outbox.worker import Worker
from idp.services import services_of
from idp.web.telling import Tellable, on_page, sentence
from tests.activation.steps import open_activation
from tests.builders import COLLEGE, LYCEE, PASSWORD, PROVISIONAL, Build
from tests.closed import dispute
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import (
    CHOSEN,
    OLD,
    PASSWORD_PAGE,
    change_email,
    change_password,
    enter,
    links,
    path_of,
)
from tests.my_account.steps import text_of as read_with_links
from tests.pages import heading, sign_in, submit
from tests.recovery.steps import DONE, mailed_link

pytestmark = pytest.mark.row("S-08")

SENTENCE = "L’établissement sera prévenu par mail : Collège des Tilleuls."
TELL = "Dites-le au secrétariat : Lycée Louise-Weber, 03 53 01 40 41."
TELL_ANY = "Dites-le au secrétariat de l’établissement de votre enfant."
HELP = "Assistance aux familles : 03 53 01 12 12."
_NBSP = "\u00a0"


def school(name: str, phone: str = "", *, by_mail: bool) -> Tellable:
    return {"name": name, "phone": phone, "by_mail": by_mail}


HEARS, SILENT = school("Collège A", "01", by_mail=True), school("Lycée B", "02", by_mail=False)
OTHER_HEARS, MUTE = school("École C", by_mail=True), school("École D", by_mail=False)


@pytest.mark.parametrize(
    ("schools", "how", "promise"),
    [
        ([HEARS], {}, "L’établissement sera prévenu par mail : Collège A."),
        ([HEARS, OTHER_HEARS], {}, "Les établissements seront prévenus par mail : Collège A, École C."),
        ([SILENT], {}, "Dites-le au secrétariat : Lycée B, 02."),
        ([MUTE], {}, "Dites-le au secrétariat : École D."),
        ([SILENT, MUTE], {}, "Dites-le au secrétariat : Lycée B, 02 ; École D."),
        (
            [HEARS, SILENT],
            {},
            "L’établissement sera prévenu par mail : Collège A. Dites-le au secrétariat : Lycée B, 02.",
        ),
        ([], {}, TELL_ANY),
        ([HEARS], {"named": False}, "L’établissement sera prévenu par mail."),
        ([HEARS, OTHER_HEARS], {"named": False}, "Les établissements seront prévenus par mail."),
        ([SILENT], {"named": False}, TELL_ANY),
        ([SILENT, MUTE], {"named": False}, TELL_ANY),
        ([school("50 %(x)s & <b>", "0%d", by_mail=False)], {}, "Dites-le au secrétariat : 50 %(x)s & <b>, 0%d."),
    ],
)
def test_page_promises_a_notice_for_schools_with_an_address_alone(
    app: Flask, schools: list[Tellable], how: dict[str, bool], promise: str
) -> None:
    with app.test_request_context():
        page = on_page(schools, **how)
    shown = page.striptags().replace(_NBSP, " ")
    assert shown.removesuffix(f" {HELP}") == promise
    sends, phones = "Dites-le" in promise, any(number in promise for number in ("01.", "02", "0%d"))
    assert shown.endswith(HELP) == (sends and not phones), "a telephone, or the help line"
    assert page.count('<a class="tel" dir="ltr" href="tel:') == sends
    assert sentence(schools, **how).replace(_NBSP, " ") == promise, "in a mail too, outside any request"


@pytest.fixture
def two_schools(build: Build) -> None:
    """A collège that has given a mail address, and a lycée that has a telephone alone."""
    build.school(COLLEGE).email = "secretariat@college.test"
    build.school(LYCEE).phone = "03 53 01 40 41"
    db.session.commit()


def read(page: TestResponse) -> str:
    return read_with_links(page).replace(" .", ".")


def digests(app: Flask) -> list[str]:
    with pytest.MonkeyPatch.context() as patch, post_office(app) as office:
        patch.setitem(services_of(app).settings.__dict__, "school_digest_hour", 0)
        db.session.rollback()
        Worker(services_of(app).outbox_handlers, jobs={DIGESTS: DIGESTS_PERIOD}).run_once()
        return [mail["To"] for mail in office.deliver() if mail["Subject"] == "À vérifier dans votre établissement"]


@pytest.mark.usefixtures("two_schools")
def test_promised_notice_is_sent_to_the_school(app: Flask, browser: FlaskClient, build: Build) -> None:
    mine = build.active()
    children = [build.child("Zoé"), build.child("Lou", uai=LYCEE)]
    letter = build.never_activated(given_name="Karim", children=children)
    enter(browser, mine)
    page = submit(browser, browser.get("/mon-compte/courrier"), identifiant=letter.username, mot_de_passe=PROVISIONAL)
    assert f"{SENTENCE} {TELL}" in read(page)
    assert len(db.session.scalars(select(SchoolNotice)).all()) == 2, "each has it in its list"
    assert digests(app) == ["secretariat@college.test"]


@pytest.mark.usefixtures("two_schools")
def test_not_guardian_page_names_the_notified_schools(app: Flask, browser: FlaskClient, build: Build) -> None:
    children = [build.child(), build.child("Lila", uai=LYCEE)]
    page = open_activation(browser, build.never_activated(children=children))
    question = browser.get(page.request.full_path.replace("/activation?", "/activation/non-representant?"))
    assert f"L’établissement sera prévenu par mail : Collège des Tilleuls. {TELL}" in read(question)
    done = submit(browser, question, enfant=[child.id.hex for child in children])
    assert f"{SENTENCE} {TELL}" in read(done)
    assert digests(app) == ["secretariat@college.test"]


@pytest.mark.usefixtures("two_schools")
def test_stopped_change_of_address_page_names_the_notified_schools(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active(children=[build.child(), build.child("Lila", uai=LYCEE)])
    enter(browser, account)
    change_email(browser)
    [alarm] = links(account, Purpose.CONTEST_EMAIL)
    owner = app.test_client()
    question = owner.get(path_of(build.settings, alarm))
    assert f"L’établissement sera prévenu par mail. {TELL_ANY} {HELP}" in read(question)
    done = submit(owner, question)
    assert f"L’établissement sera prévenu par mail. {TELL_ANY} {HELP}" in read(done)
    for page in (question, done):
        assert not any(word in page.text for word in ("Tilleuls", "Weber", "03 53 01 40 41"))
    with post_office(app) as office:
        mails = {mail["Subject"]: mail for mail in office.deliver()}
    stopped = mails["Le changement d’adresse mail est arrêté"]
    for text in (text_of(stopped), html_of(stopped)):
        assert f"{SENTENCE} {TELL}" in text.replace(_NBSP, " ")
    assert digests(app) == ["secretariat@college.test"]


@pytest.mark.usefixtures("two_schools")
def test_mail_of_a_change_names_the_schools_notified_of_a_stop(app: Flask, browser: FlaskClient, build: Build) -> None:
    account = build.active(children=[build.child(), build.child("Lila", uai=LYCEE)])
    enter(browser, account)
    change_email(browser)
    phone = app.test_client()
    submit(phone, phone.get(path_of(build.settings, links(account, Purpose.CHANGE_EMAIL)[-1])), mot_de_passe=PASSWORD)
    with post_office(app) as office:
        mails = {mail["Subject"]: mail for mail in office.deliver()}
    for subject in ("Votre adresse mail va changer", "Votre adresse mail a changé"):
        for text in (text_of(mails[subject]), html_of(mails[subject])):
            assert f"L’établissement sera prévenu par mail. {TELL_ANY}" in text.replace(_NBSP, " ")
            assert not any(word in text for word in ("Tilleuls", "Weber", "03 53 01 40 41"))


def test_former_mailbox_is_notified_of_a_change_of_address(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    enter(browser, parent)
    assert "un mail prévient aussi votre ancienne adresse" in browser.get("/mon-compte/adresse").text
    change_email(browser)
    phone = app.test_client()
    done = submit(
        phone, phone.get(path_of(build.settings, links(parent, Purpose.CHANGE_EMAIL)[-1])), mot_de_passe=PASSWORD
    )
    assert "Un mail prévient aussi l’ancienne." in done.text
    with post_office(app) as office:
        sent = [(mail["Subject"], mail["To"]) for mail in office.deliver()]
    assert ("Votre adresse mail va changer", OLD) in sent
    assert ("Votre adresse mail a changé", OLD) in sent


@pytest.mark.parametrize("email", [OLD, None])
def test_mail_is_promised_only_to_accounts_with_an_address(
    app: Flask, browser: FlaskClient, build: Build, email: str | None
) -> None:
    enter(browser, build.active(email=email))
    assert ("Un mail vous prévient." in browser.get(PASSWORD_PAGE).text) == (email is not None)
    change_password(browser)
    with post_office(app) as office:
        subjects = [mail["Subject"] for mail in office.deliver()]
    assert ("Votre mot de passe a changé" in subjects) == (email is not None)


def test_new_password_after_recovery_sends_a_mail(app: Flask, browser: FlaskClient, parent: Account) -> None:
    link = mailed_link(app, browser, parent)
    done = submit(browser, browser.get(link), nouveau=CHOSEN, confirmation=CHOSEN)
    assert heading(done) == DONE
    assert "un mail vous prévient du changement" in done.text
    with post_office(app) as office:
        assert ("Votre mot de passe a changé", OLD) in [(m["Subject"], m["To"]) for m in office.deliver()]


def test_no_new_letter_is_promised_while_a_tie_is_disputed(browser: FlaskClient, build: Build) -> None:
    build.school().phone = "03 53 01 40 40"
    account = build.active()
    dispute()
    page = sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(page) == "Ce compte est fermé pour le moment"
    assert "nouveau courrier" not in page.text
    assert 'href="tel:+33353014040"' in page.text, "whoever knows the password learns where to go"
