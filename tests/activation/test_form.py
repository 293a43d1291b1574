"""The form of an activation: which passwords and emails it accepts, and the ENT that it leads to."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher
from idp.activation import service
from idp.activation.service import KeptPassword
from idp.clock import now
from idp.db import db
from tests.activation.steps import (
    ACTIVATION,
    CHOSEN,
    EMAIL,
    SENT,
    activate,
    fill_in,
    newest_link,
    open_activation,
    read_state,
)
from tests.builders import COLLEGE, LYCEE, PROVISIONAL, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account.changes import errors
from tests.pages import follow, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row


@pytest.mark.row("V-06")
@each_row(
    ("password", "reason"),
    [
        (PROVISIONAL, "C’est le mot de passe provisoire du courrier."),
        (PROVISIONAL.lower().replace("-", " "), "C’est le mot de passe provisoire du courrier."),
        ("girafe {username} wagon", "Ce mot de passe contient votre identifiant."),
        ("girafe wagon vandepútte", "Ce mot de passe contient votre nom ou votre prénom."),
        ("girafe wagon MALO brique", "Ce mot de passe contient le prénom de votre enfant."),
        ("girafe wagon tilleuls", "Ce mot de passe contient le nom de l’établissement."),
        ("", "Ce champ est vide. Choisissez un mot de passe de 12 caractères au moins."),
        ("girafe", "Il faut 12 caractères au moins."),
    ],
)
def test_a_password_that_others_could_guess_is_refused_with_its_reason(
    browser: FlaskClient, build: Build, password: str, reason: str
) -> None:
    account = build.never_activated()
    page = fill_in(browser, open_activation(browser, account), password.format(username=account.username))
    assert heading(page) == ACTIVATION
    [error] = errors(page)
    assert error.startswith(reason), error
    text = page.get_data(as_text=True)
    assert text.count(reason) == 2, "in the summary and beside the field"
    assert "<title>Erreur" in text
    assert not read_state(account.id).active


@pytest.mark.row("V-06")
def test_a_refused_form_keeps_the_address_and_never_writes_a_password_back(
    browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    page = submit(browser, page, nouveau=CHOSEN, confirmation="autre chose", mail=EMAIL)
    [error] = errors(page)
    assert error.startswith("Les deux mots de passe ne sont pas les mêmes.")
    text = page.get_data(as_text=True)
    assert f'value="{EMAIL}"' in text
    assert CHOSEN not in text
    assert heading(fill_in(browser, page)) == SENT


@pytest.mark.row("V-06")
@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        ("", "Tapez une adresse mail."),
        ("noemie", "Il manque une partie de l’adresse."),
        ("a@exemple.fr\r\nBcc: b@exemple.fr", "Cette adresse n’est pas écrite comme une adresse mail."),
    ],
)
def test_an_invalid_address_is_refused_with_its_reason(
    browser: FlaskClient, mail: str, reason: str, newcomer: Account
) -> None:
    [error] = errors(fill_in(browser, open_activation(browser, newcomer), mail=mail))
    assert error.startswith(reason), error
    assert not read_state(newcomer.id).active


@pytest.mark.row("V-06")
def test_a_browser_with_a_script_types_the_password_once(browser: FlaskClient, newcomer: Account) -> None:
    page = open_activation(browser, newcomer)
    main = page.text.partition("<main")[2].partition("</main>")[0]
    before, _, second = main.partition("<noscript>")
    assert 'name="confirmation"' not in before
    assert 'name="confirmation"' in second.partition("</noscript>")[0]
    assert main.index('id="nouveau-rules"') < main.index('id="nouveau"')
    assert 'aria-describedby="nouveau-rules"' in main
    unequal = submit(browser, page, nouveau=CHOSEN, confirmation="", mail=EMAIL)
    assert errors(unequal)[0].startswith("Les deux mots de passe ne sont pas les mêmes.")
    assert heading(submit(browser, page, nouveau=CHOSEN, mail=EMAIL)) == SENT
    assert heading(sign_in(browser, "/connexion", newcomer.username, CHOSEN)) == SENT


@pytest.mark.row("V-24")
def test_a_wrong_address_keeps_the_password_in_this_activation_alone(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    kept = submit(browser, page, nouveau=CHOSEN, mail="noemie")
    stored = db.session.scalars(select(KeptPassword.password_hash)).one()
    for shown in (kept, browser.get(page.request.full_path)):
        assert "Votre mot de passe est gardé." in shown.text
        assert CHOSEN not in shown.text
        assert stored not in shown.text
    assert len(errors(kept)) == 1
    stranger = app.test_client()
    other = submit(stranger, open_activation(stranger, newcomer), mail=EMAIL)
    assert errors(other)[0].startswith("Ce champ est vide. Choisissez un mot de passe")
    assert heading(submit(browser, kept, mail=EMAIL)) == SENT
    assert read_state(newcomer.id).password == stored
    assert db.session.scalar(select(func.count()).select_from(KeptPassword)) == 0
    assert heading(sign_in(browser, "/connexion", newcomer.username, CHOSEN)) == SENT


@pytest.mark.row("V-24")
def test_a_kept_password_is_replaced_and_expires_with_the_activation(browser: FlaskClient, build: Build) -> None:
    account, other = build.never_activated(), "marteau nuage girafe wagon"
    with time_machine.travel(now(), tick=False) as clock:
        page = submit(browser, open_activation(browser, account), nouveau=CHOSEN, mail="noemie")
        short = submit(browser, page, nouveau="court", mail=EMAIL)
        assert "Votre mot de passe est gardé." in short.text
        assert '<details class="more" open>' in short.text
        page = submit(browser, page, nouveau=other, mail="rien")
        stored = db.session.scalars(select(KeptPassword.password_hash)).one()
        settings = build.settings
        assert service.kept_password(db.session.scalars(select(KeptPassword.digest)).one()) == stored
        clock.shift(timedelta(minutes=30))
        assert service.kept_password(db.session.scalars(select(KeptPassword.digest)).one()) is None
    assert Hasher(settings).verify(stored, other, "activation")


@pytest.mark.row("I-15")
@pytest.mark.parametrize(
    "password",
    [
        "orage brique hamster violon" + " 🦒" * 50,
        "  orage   brique hamster ",
        "orage-brique-hamster-violon".ljust(128, "~"),
        "nul\x00au milieu, girafe",
    ],
    ids=["127 with emoji", "spaces", "128", "NUL"],
)
def test_any_long_text_is_a_password_and_is_kept_as_it_was_typed(
    browser: FlaskClient, password: str, newcomer: Account
) -> None:
    assert heading(fill_in(browser, open_activation(browser, newcomer), password)) == SENT
    for wrong in (password[:-1], password.strip(" ") if password.startswith(" ") else password + " "):
        page = sign_in(browser, "/connexion", newcomer.username, wrong)
        assert "Vous n’êtes pas connecté" in page.get_data(as_text=True)
    assert heading(sign_in(browser, "/connexion", newcomer.username, password)) == SENT


@pytest.mark.row("I-15")
def test_four_hundred_thousand_accents_are_refused_at_once(
    browser: FlaskClient, normalised: list[int], newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    normalised.clear()
    marks = "a" + "\u0301\u0323" * 200_000
    assert submit(browser, page, nouveau=marks, confirmation=marks, mail=EMAIL).status_code == 413
    assert normalised == []
    marks = "a" + "\u0301\u0323" * 2_500
    assert errors(submit(browser, page, nouveau=marks, confirmation=marks, mail=EMAIL))[0].startswith(
        "Ce mot de passe dépasse 128 caractères."
    )
    assert max(normalised, default=0) <= 128
    assert not read_state(newcomer.id).active


Walk = Callable[[RelyingParty | None], str]


@pytest.fixture
def letter(build: Build) -> Account:
    """A parent with a child in each school and a letter of the lycée."""
    children = [build.child("Malo"), build.child("Inès", uai=LYCEE)]
    return build.never_activated(children=children, letter_school_id=build.school(LYCEE).id)


@pytest.fixture
def walk(app: Flask, browser: FlaskClient, build: Build, letter: Account) -> Walk:
    """Return a function that activates from an ENT, confirms on another device, and returns the last page."""

    def act(ent: RelyingParty | None) -> str:
        activate(browser, letter, ent.url(Attempt()) if ent else "/connexion")
        phone = app.test_client()
        page = submit(phone, phone.get(newest_link(build.settings, letter.id)), mot_de_passe=CHOSEN)
        assert heading(page) == "Confirmation de votre adresse mail"
        return page.get_data(as_text=True)

    return act


def leads_to(host: str) -> str:
    return f'<a class="btn" href="https://{host}/">Accéder à l’ENT'


def test_the_first_ent_serves_the_letters_school(build: Build, walk: Walk) -> None:
    other = build.ent("Passerelle", uais=[COLLEGE])
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    assert leads_to("horizon.test") in walk(other)


def test_the_ent_that_the_person_came_from_is_preferred_at_the_letters_school(build: Build, walk: Walk) -> None:
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    second = build.ent("Internat", "internat.test", uais=[LYCEE])
    assert leads_to("internat.test") in walk(second)


def test_a_school_without_ent_leads_to_the_ent_that_the_person_came_from(build: Build, walk: Walk) -> None:
    build.ent("Passerelle", uais=[COLLEGE])
    service = build.ent("Cantines", "cantines.test", uais=[], audience="everyone")
    assert leads_to("cantines.test") in walk(service)


def test_without_an_ent_the_last_page_leads_to_the_sign_in(walk: Walk) -> None:
    text = walk(None)
    assert '<a class="btn" href="/connexion">Se connecter</a>' in text
    assert "L’autre appareil continue tout seul." in text
    assert "ENT" not in text.partition("<main")[2].partition("</main>")[0]


def test_an_ent_that_may_not_know_the_person_is_never_the_first(build: Build, walk: Walk) -> None:
    foreign = build.ent("Ailleurs", "ailleurs.test", uais=["0599003R"])
    build.ent("Passerelle", uais=[COLLEGE])
    text = walk(foreign)
    assert leads_to("ent.test") in text
    assert "ailleurs.test" not in text


def test_a_school_that_the_child_left_since_the_letter_is_ignored(build: Build, letter: Account, walk: Walk) -> None:
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    build.ent("Passerelle", uais=[COLLEGE])
    [tie] = [link for link in letter.guardianships if link.child.school.uai == LYCEE]
    tie.ended_at = now()
    db.session.commit()
    assert leads_to("ent.test") in walk(None)


def test_the_waiting_page_of_the_first_device_leads_into_the_ent_that_asked(
    app: Flask, browser: FlaskClient, build: Build, letter: Account
) -> None:
    other = build.ent("Passerelle", uais=[COLLEGE])
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    waiting = activate(browser, letter, other.url(Attempt()))
    phone = app.test_client()
    submit(phone, phone.get(newest_link(build.settings, letter.id)), mot_de_passe=CHOSEN)
    assert "code" in other.answer(follow(browser, browser.get(waiting.request.full_path)))


@pytest.mark.parametrize("late", [True, False])
def test_a_request_that_gets_no_answer_leads_into_the_ent_of_the_letters_school(
    app: Flask, browser: FlaskClient, build: Build, letter: Account, *, late: bool
) -> None:
    # The ENT that asked has forgotten its request after 15 minutes, or may not know the person.
    asking = build.ent("Passerelle", uais=[COLLEGE] if late else ["0599003R"])
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, letter, asking.url(Attempt()))
        if late:
            clock.shift(timedelta(minutes=16))
        phone = app.test_client()
        submit(phone, phone.get(newest_link(build.settings, letter.id)), mot_de_passe=CHOSEN)
        assert browser.get(waiting.request.full_path).headers["Location"] == "https://horizon.test/"


def test_the_mail_and_the_last_page_name_both_ents_and_the_page_the_children_to_a_signed_in_person_alone(
    app: Flask, browser: FlaskClient, build: Build, letter: Account
) -> None:
    build.ent("Passerelle", uais=[COLLEGE])
    build.ent("Horizon", "horizon.test", uais=[LYCEE])
    activate(browser, letter)
    with post_office(app) as office:
        [mail] = office.deliver()
    for part in (text_of(mail), html_of(mail)):
        for words in ("Horizon", "https://horizon.test/", "Passerelle", "https://ent.test/", "Collège"):
            assert words in part.partition("Les ENT de vos enfants")[2], "who types the code never sees the last page"
        assert "Malo" not in part
        assert "[[" not in part
    link = newest_link(build.settings, letter.id)
    here = submit(browser, browser.get(link))
    other = '<a class="btn alt" href="https://ent.test/">Accéder à l’ENT Passerelle</a>'
    assert f"{leads_to('horizon.test')} Horizon</a>" in here.text
    assert other in here.text
    first, second = re.findall(r"<b><bdi>([^<]+)</bdi></b></p><p><a class=\"btn", here.text)
    assert "Malo" in second
    assert "Malo" not in first
    elsewhere = build.never_activated(
        children=[build.child("Rose"), build.child("Tom", uai=LYCEE)], letter_school_id=letter.letter_school_id
    )
    activate(app.test_client(), elsewhere, mail="autre@exemple.fr")
    phone = app.test_client()
    link = newest_link(build.settings, elsewhere.id)
    confirmed, again = submit(phone, phone.get(link), mot_de_passe=CHOSEN), phone.get(link)
    for page in (confirmed, again):
        assert other in page.text
        assert "Rose" not in page.text
    for school in ("Collège des Tilleuls", "Lycée Louise-Weber"):
        assert school in confirmed.text
        assert school not in again.text, "a used link in an old mail does not tell where the children go to school"
