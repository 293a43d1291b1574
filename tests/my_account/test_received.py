"""« Mes données dans les ENT »: rows N-03, O-03; the page lists what UserInfo releases."""

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete

from idp.accounts.models import Account, Degree
from idp.clients.models import Client, ClientSchool
from idp.clients.released import guardian_vector
from idp.clock import now
from idp.db import db
from idp.families import closing
from idp.families.closing import Decision
from idp.web.i18n import hour
from tests.builders import COLLEGE, LYCEE, Build
from tests.my_account.steps import enter, text_of
from tests.protocol.flow import tokens_for

PAGE = "/mon-compte/ent"
RECEIVED = {
    "profile": "votre prénom, votre nom et votre langue",
    "email": "votre adresse mail confirmée",
    "ent": "que vous êtes parent",
    "charter": "si vous avez accepté sa charte",
}


def _sections(html: str) -> dict[str, str]:
    parts = re.split(r"<h2>(.*?)</h2>", html[: html.index('<section class="help')], flags=re.DOTALL)[1:]
    names = [unescape(re.sub("<[^>]+>", "", name)) for name in parts[::2]]
    texts = [" ".join(unescape(re.sub("<[^>]+>", " ", body)).split()) for body in parts[1::2]]
    return dict(zip(names, texts, strict=True))


@pytest.mark.row("N-03")
def test_each_ent_is_shown_with_the_children_of_its_schools_as_userinfo_has_them(
    browser: FlaskClient, build: Build
) -> None:
    college, lycee = build.ent("Passerelle"), build.ent("Horizon", "lycee.test", uais=[LYCEE])
    account = build.active(children=[build.child(), build.child("Inès", uai=LYCEE)])
    enter(browser, account)
    sections = _sections(browser.get(PAGE).text)
    assert list(sections) == ["Horizon", "Passerelle"]
    for ent, name, child_shown, hidden_child in (
        (college, "Passerelle", "Malo", "Inès"),
        (lycee, "Horizon", "Inès", "Malo"),
    ):
        userinfo = ent.userinfo(browser, tokens_for(browser, ent)["access_token"]).get_json()
        assert [child["given_name"] for child in userinfo["children"]] == [child_shown]
        assert f"{child_shown} LEROY" in sections[name]
        assert hidden_child not in sections[name]
        for sentence in RECEIVED.values():
            assert sentence in sections[name]


def test_an_ent_is_listed_with_its_registered_claims_alone(browser: FlaskClient, build: Build) -> None:
    build.ent("Sobre", scopes="openid profile", always_claims=["charter"])
    enter(browser, build.active())
    text = _sections(browser.get(PAGE).text)["Sobre"]
    assert RECEIVED["profile"] in text
    assert RECEIVED["charter"] in text
    assert RECEIVED["email"] not in text
    assert RECEIVED["ent"] not in text
    assert "Malo" not in text
    assert "Cet ENT ne reçoit rien sur vos enfants." in text


@pytest.mark.row("O-03")
def test_the_last_entries_are_dated_youngest_first(browser: FlaskClient, build: Build) -> None:
    ent, account = build.ent(), build.active()
    morning = (now() + timedelta(days=2)).replace(hour=7, minute=30, second=0)
    with time_machine.travel(morning - timedelta(days=1), tick=False) as clock:
        enter(browser, account)
        assert "Vos dernières visites Aucune ces derniers mois." in text_of(browser.get(PAGE))
        tokens_for(browser, ent)
        clock.move_to(morning)
        enter(browser, account)
        for _ in range(6):
            clock.shift(timedelta(minutes=1))
            tokens_for(browser, ent)
        text = _sections(browser.get(PAGE).text)["Passerelle"]
    times = [" ".join(hour(morning + timedelta(minutes=n)).split()) for n in (6, 5, 4, 3, 2)]
    assert "Vos dernières visites " + " ".join(f"aujourd’hui à {time}" for time in times) in text
    assert text.count("aujourd’hui") == 5


def test_an_ent_that_no_longer_serves_the_schools_is_listed_apart(browser: FlaskClient, build: Build) -> None:
    gone, disabled = build.ent("Ancien"), build.ent("Fermé", "ferme.test")
    build.ent("Jamais vu", "jamais.test", uais=[LYCEE])
    build.ent("Passerelle", "autre.test")
    enter(browser, build.active())
    tokens_for(browser, gone)
    tokens_for(browser, disabled)
    rows = {row.name: row for row in db.session.query(Client)}
    db.session.execute(delete(ClientSchool).where(ClientSchool.client_id == rows["Ancien"].id))
    rows["Fermé"].disabled_at = now()
    db.session.commit()
    sections = _sections(browser.get(PAGE).text)
    assert list(sections) == ["Passerelle", "ENT où vous êtes déjà entré"]
    former = sections["ENT où vous êtes déjà entré"]
    assert former.index("Ancien : dernière visite aujourd’hui à") < former.index("Fermé : dernière visite")
    assert "Jamais vu" not in browser.get(PAGE).text


def test_a_service_for_everyone_is_listed_once_it_was_entered(browser: FlaskClient, build: Build) -> None:
    service = build.ent("Cantines", "cantines.test", uais=[], audience="everyone", release_username=True)
    enter(browser, build.active())
    assert "Cantines" not in browser.get(PAGE).text
    tokens_for(browser, service)
    text = _sections(browser.get(PAGE).text)["Cantines"]
    assert "Service ouvert à toutes les familles : il ne reçoit rien sur vos enfants." in text
    assert "pour chacun de vos enfants" not in text
    assert "Un service ouvert à toutes les familles reçoit aussi des informations" in text_of(browser.get(PAGE))
    assert "l’identifiant avec lequel vous vous connectez" in text


def test_data_of_another_parent_is_hidden(app: Flask, browser: FlaskClient, build: Build) -> None:
    ent, other = build.ent("Horizon", uais=[LYCEE]), build.active(children=[build.child("Zoé", uai=LYCEE)])
    theirs = app.test_client()
    enter(theirs, other)
    tokens_for(theirs, ent)
    enter(browser, build.active())
    page = browser.get(PAGE)
    assert "Horizon" not in page.text
    assert "Zoé" not in page.text
    assert "Aucun ENT ne reçoit rien sur vous" in text_of(page)


def test_a_parent_whose_only_tie_is_suspended_reads_the_truth(
    browser: FlaskClient, build: Build, parent: Account
) -> None:
    build.ent()
    [tie] = parent.guardianships
    closing.close(parent.id, Decision(reason="jugement", child=tie.child_id, school=build.school()))
    enter(browser, parent)
    page = text_of(browser.get(PAGE))
    assert "Aucun ENT ne reçoit rien sur vous en ce moment." in page
    assert "Votre accès à cet élève est fermé depuis" in page


def test_a_vector_has_five_fields_whatever_a_name_holds() -> None:
    vector = guardian_vector(Degree.PRIMARY, family_name="O|NEILL", given_name="A|b", student_id="7|1", uai=COLLEGE)
    assert vector == f"1|O NEILL|A b|7 1|{COLLEGE}"
    vector = guardian_vector(Degree.SECONDARY, family_name="LE GALL", given_name="Zoé", student_id="7", uai=LYCEE)
    assert vector == f"2|LE GALL|Zoé|7|{LYCEE}"
