"""Other mailboxes of a person: the school's file names one, and a mailbox that another account uses."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.accounts import one_time_links
from idp.accounts.models import Account, Merge, School, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink, Purpose
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from tests.activation.steps import CHOSEN, EMAIL, activate, fill_in, newest_link, open_activation, read_state
from tests.builders import LYCEE, PASSWORD, Build
from tests.databases import settings_for
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import at_once, form
from tests.pages import form_token, heading, sign_in, submit
from tests.services import change_settings

OF_FILE = "vraie.mere@exemple.fr"
SUBJECT = "Un compte a été activé"
ASKS, DONE, DEAD = "Ce n’est pas vous ?", "Merci, c’est noté", "Ce lien ne marche plus"


def links(account: Account) -> list[OneTimeLink]:
    db.session.rollback()
    mine = select(OneTimeLink).where(
        OneTimeLink.account_id == account.id, OneTimeLink.purpose == Purpose.REPORT_ACTIVATION.value
    )
    return list(db.session.scalars(mine.order_by(OneTimeLink.created_at)))


def path_of(build: Build, account: Account) -> str:
    return f"/adresse/signalement/{one_time_links.token(build.settings, links(account)[-1])}"


def notices(account: Account) -> list[str]:
    kinds = list(db.session.scalars(select(SchoolNotice.kind).where(SchoolNotice.account_id == account.id)))
    db.session.rollback()
    return kinds


@pytest.fixture
def stolen(browser: FlaskClient, build: Build) -> Account:
    """An account whose letter somebody else used; the school's file knows the right person's address."""
    account = build.never_activated(school_email=OF_FILE)
    activate(browser, account, mail=EMAIL)
    return account


@pytest.mark.row("V-20")
def test_mailbox_of_the_file_is_notified_of_an_activation_with_another_address(
    app: Flask, build: Build, stolen: Account
) -> None:
    with post_office(app) as office:
        mails = [mail for mail in office.deliver() if mail["Subject"] == SUBJECT]
    assert [mail["To"] for mail in mails] == [OF_FILE]
    path = path_of(build, stolen)
    for text in (text_of(mails[0]), html_of(mails[0])):
        assert set(re.findall(r"https://connexion\.exemple\.test/\S+?(?=[\s\"<])", text)) == {
            f"{build.settings.issuer}{path}"
        }
        for secret in (EMAIL, stolen.username, "LEROY-VANDEPUTTE", "noemie@", "Tilleuls"):
            assert secret not in text, "who uses which address is not told, nor where the children are"
        assert "Noémie L." in text


@pytest.mark.row("V-20")
@pytest.mark.parametrize("of_file", [EMAIL.upper(), f" {EMAIL} ", None, "", "pas une adresse"])
def test_activation_sends_no_report_without_a_different_address_in_the_file(
    browser: FlaskClient, build: Build, of_file: str | None
) -> None:
    account = build.never_activated(school_email=of_file)
    activate(browser, account, mail=EMAIL)
    assert links(account) == []


@pytest.mark.row("V-20")
def test_an_address_that_is_corrected_afterwards_does_not_go_unnoticed(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(school_email=OF_FILE)
    sent = activate(browser, account, mail=OF_FILE)
    assert links(account) == []
    correction = browser.get(sent.request.full_path.replace("/confirmation", "/modifier"))
    for email in ("voleur@exemple.fr", "autre.voleur@exemple.fr"):
        submit(browser, correction, mail=email, mot_de_passe=CHOSEN)
        assert read_state(account.id).pending == email
    assert [link.email for link in links(account)] == [OF_FILE], "once for each activation"
    with post_office(app) as office:
        assert [mail["To"] for mail in office.deliver() if mail["Subject"] == SUBJECT] == [OF_FILE]


@pytest.mark.row("V-20")
def test_a_first_address_that_is_corrected_late_does_not_go_unnoticed(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(school_email=OF_FILE)
    activate(browser, account, mail=OF_FILE)
    with time_machine.travel(now() + timedelta(hours=100)), post_office(app) as office:
        thief = app.test_client()
        sign_in(thief, "/connexion", account.username, CHOSEN)
        submit(thief, thief.get("/adresse/modifier"), mail="voleur@exemple.fr", mot_de_passe=CHOSEN)
        assert read_state(account.id).pending == "voleur@exemple.fr"
        assert [mail["To"] for mail in office.deliver() if mail["Subject"] == SUBJECT] == [OF_FILE]
        owner = app.test_client()
        assert heading(submit(owner, owner.get(path_of(build, account)))) == DONE
    assert notices(account) == ["other_mailbox"]


@pytest.mark.row("V-20")
def test_a_first_address_long_after_an_activation_sends_no_report(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.active(email=None, school_email=OF_FILE)
    sign_in(browser, "/connexion", account.username, PASSWORD)
    submit(browser, browser.get("/adresse/modifier"), mail=EMAIL, mot_de_passe=PASSWORD)
    assert (read_state(account.id).pending, links(account)) == (EMAIL, [])


@pytest.mark.row("V-20")
def test_opening_the_link_changes_nothing_and_shows_no_names(app: Flask, build: Build, stolen: Account) -> None:
    path, before = path_of(build, stolen), read_state(stolen.id)
    scanner = app.test_client()
    for _ in range(3):
        page = scanner.get(path)
        assert heading(page) == ASKS
    assert scanner.head(path).status_code == 200
    assert scanner.post(path).status_code == 400, "no form of ours"
    assert (read_state(stolen.id), notices(stolen)) == (before, [])
    for secret in (stolen.username, "LEROY", "Noémie", "Malo", "Tilleuls", EMAIL, OF_FILE):
        assert secret not in page.text


@pytest.mark.row("V-20")
def test_link_reports_to_the_school_once_and_gives_no_control(app: Flask, build: Build, stolen: Account) -> None:
    path, before = path_of(build, stolen), read_state(stolen.id)
    owner = app.test_client()
    data = {"csrf_token": form_token(owner.get(path))}
    for _ in range(3):
        answer = owner.post(path, data=data)
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
    done = owner.get(path)
    assert heading(done) == DONE
    assert "Dites-le au secrétariat" in done.text
    assert notices(stolen) == ["other_mailbox"]
    assert read_state(stolen.id) == before, "nothing of the account changed"
    assert owner.get_cookie("__Host-ss", domain="connexion.exemple.test") is None
    for secret in (stolen.username, "LEROY", "Noémie", "Malo", "Tilleuls", EMAIL, OF_FILE):
        assert secret not in done.text
    event = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "activation.reported")).one()
    assert event.details == {"uais": ["0599001N"]}


@pytest.mark.row("V-20")
def test_concurrent_clicks_report_once(app: Flask, build: Build, stolen: Account) -> None:
    path, forms = path_of(build, stolen), []
    for _ in range(4):
        owner = app.test_client()
        forms.append(form(owner, owner.get(path)))
    assert [answer["status"] for answer in at_once(build.settings, forms)] == [303] * 4
    assert notices(stolen) == ["other_mailbox"]


@pytest.mark.row("V-20")
def test_taken_over_account_cannot_disable_the_link(app: Flask, build: Build, stolen: Account) -> None:
    path = path_of(build, stolen)
    thief = app.test_client()
    submit(thief, thief.get(newest_link(build.settings, stolen.id)))  # not the report's own page: nothing is used
    db.session.get_one(Account, stolen.id).generation += 3  # a new password, sessions ended, a new address
    db.session.commit()
    owner = app.test_client()
    assert heading(submit(owner, owner.get(path))) == DONE
    assert notices(stolen) == ["other_mailbox"]


@pytest.mark.row("V-20")
def test_link_expires_after_its_lifetime_and_after_a_new_letter(app: Flask, build: Build, stolen: Account) -> None:
    path = path_of(build, stolen)
    with time_machine.travel(now() + timedelta(hours=73)):
        late = app.test_client().get(path)
        assert (late.status_code, heading(late)) == (410, DEAD)
    one_time_links.revoke(stolen.id, *Purpose)  # what a new letter does
    db.session.commit()
    owner = app.test_client()
    dead = owner.get(path)
    assert (dead.status_code, heading(dead)) == (410, DEAD)
    assert owner.post(path, data={"csrf_token": form_token(owner.get("/connexion"))}).status_code == 410
    assert notices(stolen) == []


@pytest.mark.row("V-20")
def test_link_of_another_purpose_is_refused(app: Flask, build: Build, stolen: Account) -> None:
    confirm = select(OneTimeLink).where(OneTimeLink.purpose == Purpose.CONFIRM_EMAIL.value)
    other = one_time_links.token(build.settings, db.session.scalars(confirm).one()) or ""
    assert app.test_client().get(f"/adresse/signalement/{other}").status_code == 410
    report = path_of(build, stolen).rpartition("/")[2]
    assert app.test_client().get(f"/adresse/lien/{report}").status_code == 410


@pytest.mark.row("V-20")
def test_every_school_of_the_account_is_notified_and_the_page_names_those_with_an_address(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    build.school().email = "secretariat@college.test"
    build.school(LYCEE).phone = "03 53 01 40 41"
    db.session.commit()
    children = [build.child(), build.child("Lila", uai=LYCEE)]
    account = build.never_activated(school_email=OF_FILE, children=children)
    activate(browser, account)
    owner = app.test_client()
    question = owner.get(path_of(build, account))
    tell = "Dites-le au secrétariat de l’établissement de votre enfant."
    assert f"L’établissement sera prévenu par mail. {tell}" in question.text
    done = submit(owner, question)
    assert f"L’établissement sera prévenu par mail. {tell}" in done.text
    assert "Votre signalement est enregistré\u00a0: vous n’avez pas activé le compte" in done.text
    assert "03 53 01 40 41" not in question.text + done.text
    uais = db.session.scalars(select(School.uai).join(SchoolNotice).order_by(School.uai)).all()
    assert uais == ["0599001N", LYCEE]


@pytest.mark.row("V-20")
def test_an_activation_without_any_address_is_reported(app: Flask, build: Build) -> None:
    change_settings(app, mail_required=False)
    account = build.never_activated(school_email=OF_FILE)
    browser = app.test_client()
    fill_in(browser, open_activation(browser, account), mail="")
    assert read_state(account.id).active
    assert [link.email for link in links(account)] == [OF_FILE]
    assert sign_in(app.test_client(), "/connexion", account.username, CHOSEN).status_code == 200


_MAILBOX = "famille@exemple.fr"
_TOLD = "Cette adresse sert aussi à un autre compte de parent."
_REFUSED = "Cette adresse sert déjà"
_CONFIRMED = "Confirmation de votre adresse mail"


@pytest.fixture
def settings(request: pytest.FixtureRequest, database_url: str) -> Settings:
    return settings_for(database_url, shared_mailbox=getattr(request, "param", "allow"))


@pytest.mark.parametrize(
    ("settings", "hint", "meaning"),
    [
        ("allow", "chacun pourra alors choisir un nouveau mot de passe", "peut choisir un nouveau mot de passe pour"),
        ("known-device", "utilisez un appareil où vous vous êtes déjà connecté", "ou demandez un courrier"),
    ],
    indirect=["settings"],
)
def test_meaning_of_sharing_is_shown_to_readers_of_the_mailbox_alone(
    app: Flask, browser: FlaskClient, build: Build, hint: str, meaning: str
) -> None:
    build.active(email=_MAILBOX)
    texts: list[list[str]] = []
    for email in ("Famille@exemple.fr", "seule@exemple.fr"):
        account, visitor = build.never_activated(), app.test_client()
        page = open_activation(visitor, account)
        assert hint in page.text, "the same for everybody"
        waiting = fill_in(visitor, page, mail=email)
        correction = visitor.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
        assert hint in correction.text
        assert not any(_TOLD in text for text in (page.text, waiting.text, correction.text)), "no mailbox is proved yet"
        question = browser.get(newest_link(build.settings, account.id))
        texts.append([question.text, submit(browser, question, mot_de_passe=CHOSEN).text])
        assert read_state(account.id).email == email
    for shared, alone in zip(*texts, strict=True):
        assert _TOLD not in alone
        assert _TOLD in shared
        assert meaning in shared
        assert "que vous êtes seul" not in shared
    assert "ne confirmez pas ici" in texts[0][0]
    assert "connectez-vous avec votre identifiant" in texts[0][0], "and how to give another address"


def test_the_page_of_a_change_names_the_form_for_another_address(browser: FlaskClient, build: Build) -> None:
    build.active(email=_MAILBOX)
    sign_in(browser, "/connexion", build.active(email="mienne@exemple.fr").username, PASSWORD)
    submit(browser, browser.get("/mon-compte/adresse"), actuel=PASSWORD, mail=_MAILBOX)
    row = db.session.scalars(select(OneTimeLink).where(OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)).one()
    page = browser.get(f"/adresse/lien/{one_time_links.token(build.settings, row)}")
    assert _TOLD in page.text
    text = page.text.replace("\u00a0", " ").replace("\u202f", " ")
    assert "« Gérer mon compte », puis « Changer mon adresse mail »" in text


def test_a_disabled_account_or_a_merged_one_is_not_served(browser: FlaskClient, build: Build) -> None:
    kept_one = build.active(email="autre@exemple.fr")
    build.active(email=_MAILBOX, disabled_at=now())
    build.never_activated(disabled_at=now(), merge=Merge(into_id=kept_one.id))
    account = build.never_activated()
    activate(browser, account, mail=_MAILBOX)
    assert _TOLD not in browser.get(newest_link(build.settings, account.id)).text


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_a_mailbox_serves_one_account_where_sharing_is_refused(
    app: Flask, browser: FlaskClient, build: Build, settings: Settings
) -> None:
    first = build.active(email=_MAILBOX)
    account = build.never_activated()
    page = open_activation(browser, account)
    assert "Une adresse ne sert que pour un compte" in page.text
    waiting = fill_in(browser, page, mail="Famille@exemple.fr")
    assert heading(waiting) == "Consultez votre messagerie", "nothing is told before the mailbox is proved"
    link, phone = newest_link(build.settings, account.id), app.test_client()
    forged = phone.post(link, data={"csrf_token": form_token(phone.get("/connexion"))})
    for answer in (forged, phone.get(link)):
        assert (answer.status_code, heading(answer)) == (200, _REFUSED)
        assert "Modifier l’adresse mail" in answer.text, "how to go on"
        assert first.username not in answer.text
    after = read_state(account.id)
    assert (after.email, after.pending) == (None, "Famille@exemple.fr")
    correction = browser.get(waiting.request.full_path.replace("/confirmation", "/modifier"))
    submit(browser, correction, mail="seule@exemple.fr", mot_de_passe=CHOSEN)
    assert heading(submit(phone, phone.get(newest_link(build.settings, account.id)), mot_de_passe=CHOSEN)) == _CONFIRMED


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_a_change_to_a_mailbox_that_serves_another_account_keeps_the_present_address(
    browser: FlaskClient, build: Build, settings: Settings
) -> None:
    build.active(email=_MAILBOX)
    account = build.active(email="mienne@exemple.fr")
    sign_in(browser, "/connexion", account.username, PASSWORD)
    page = browser.get("/mon-compte/adresse")
    assert "Une adresse ne sert que pour un compte" in page.text
    submit(browser, page, actuel=PASSWORD, mail=_MAILBOX)
    row = db.session.scalars(select(OneTimeLink).where(OneTimeLink.purpose == Purpose.CHANGE_EMAIL.value)).one()
    answer = browser.get(f"/adresse/lien/{one_time_links.token(settings, row)}")
    assert heading(answer) == _REFUSED
    assert "Votre compte garde son adresse actuelle." in answer.text
    assert read_state(account.id).email == "mienne@exemple.fr"


@pytest.mark.row("E-07")
@pytest.mark.parametrize("settings", ["refuse"], indirect=True)
def test_concurrent_confirmations_of_one_mailbox_succeed_once(app: Flask, build: Build, settings: Settings) -> None:
    forms: list[dict[str, Any]] = []
    for account in [build.never_activated() for _ in range(4)]:
        browser = app.test_client()
        activate(browser, account, mail=_MAILBOX)
        forms.append(form(browser, browser.get(newest_link(build.settings, account.id))))
    at_once(settings, forms, shared_mailbox="refuse")
    served = db.session.scalars(select(Account.username).where(Account.mailbox == _MAILBOX)).all()
    assert len(served) == 1, served
