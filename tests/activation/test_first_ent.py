"""The first ENT after an activation is that of the school that printed the letter."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.activation.steps import CHOSEN, activate, newest_link
from tests.builders import COLLEGE, LYCEE, Build
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.pages import follow, heading, submit
from tests.relying_party import Attempt, RelyingParty

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
