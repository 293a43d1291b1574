"""« Gérer mon compte » and « Mes données dans les ENT »: what they show and where they lead."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, update
from werkzeug.test import TestResponse

from idp.accounts.models import Account, Degree
from idp.clients.models import Client, ClientSchool
from idp.clients.released import guardian_vector
from idp.clock import now
from idp.db import db
from idp.families import closing
from idp.families.closing import Decision
from idp.web.i18n import hour
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build, commit
from tests.email_confirmation.post import html_of, post_office, text_of as mail_text
from tests.my_account.steps import PHONE, device, enter, text_of
from tests.pages import follow, form_token, heading, sign_in
from tests.protocol.flow import tokens_for
from tests.rows import each_row

PAGES = (
    "/mon-compte",
    "/mon-compte/sessions",
    "/mon-compte/verification",
    "/mon-compte/charte",
    "/mon-compte/ent",
    "/mon-compte/courrier",
)
SUB_PAGES = (*PAGES[1:], "/mon-compte/mot-de-passe", "/mon-compte/adresse")
CHANGED = datetime(2026, 9, 14, 10, tzinfo=UTC)


def _tiles(html: str) -> dict[str, str]:
    tiles = re.findall(r'<a class="to" href="([^"]+)"[^>]*>([^<]+)</a>', html)
    return {name: url for url, name in tiles}


def test_the_tiles_are_links_with_the_contracts_names_that_lead_somewhere(browser: FlaskClient, build: Build) -> None:
    tiles = _tiles(enter(browser, build.active()).text)
    assert list(tiles) == [
        "Changer mon mot de passe",
        "Changer mon adresse mail",
        "Mes connexions",
        "Se connecter sans mot de passe",
        "Ma charte",
        "Mes données dans les ENT",
    ]
    for name, url in tiles.items():
        assert heading(browser.get(url)) == name
    assert heading(browser.get("/mon-compte/courrier")) == "Ajouter un autre courrier"


def test_the_sentences_describe_the_state_of_the_account(app: Flask, browser: FlaskClient, build: Build) -> None:
    children = [build.child(), build.child("Inès", uai=LYCEE)]
    account = build.active(children=children, password_changed_at=CHANGED, email_confirmed_at=CHANGED)
    enter(device(app), account)
    text = text_of(enter(browser, account))
    assert "Changé le 14 septembre 2026" in text
    assert "Confirmée le 14 septembre 2026" in text
    assert "2 appareils connectés" in text
    assert "Malo LEROY 6e 1, Collège des Tilleuls" in text
    account.pending_email = "autre@exemple.fr"
    db.session.commit()
    assert "Un changement attend votre confirmation" in text_of(browser.get("/mon-compte"))


def test_a_person_without_children_is_led_to_who_can_help(browser: FlaskClient, build: Build, parent: Account) -> None:
    [tie] = parent.guardianships
    closing.close(parent.id, Decision(reason="jugement", child=tie.child_id, school=build.school()))
    page = text_of(enter(browser, parent))
    assert "Demandez à la direction de l’établissement." in page
    assert "Le secrétariat de l’établissement peut le corriger." not in page
    assert "Le secrétariat de l’établissement peut le corriger." in text_of(enter(browser, build.active(children=[])))


@each_row(
    ("done", "sentence"),
    [
        ("mot-de-passe", "Votre mot de passe est changé."),
        ("adresse", "Votre adresse mail est à jour."),
        ("adresse-gardee", "Vous gardez votre adresse mail actuelle."),
        ("courrier", "tous vos enfants sont sur ce compte"),
        ("connexions", "Vos autres appareils sont déconnectés."),
    ],
)
def test_completed_action_is_confirmed_once(browser: FlaskClient, build: Build, done: str, sentence: str) -> None:
    enter(browser, build.active())
    page = browser.get(f"/mon-compte?fait={done}")
    assert sentence in text_of(page)
    assert page.text.count('role="status"') == 1
    for other in ("", "fait", "<script>alert(1)</script>", done.upper(), f"{done}\x00"):
        assert 'role="status"' not in browser.get("/mon-compte", query_string={"fait": other}).text


def test_the_one_ent_is_the_pages_main_button_and_a_link_on_each_page_under_it(
    browser: FlaskClient, build: Build
) -> None:
    build.ent(initiate_login_uri="https://ent.test/entrer")
    build.ent("Ailleurs", "ailleurs.test", uais=[LYCEE])
    [(kind, url, name)] = _ents(enter(browser, build.active()))
    assert (kind, name) == (' class="btn"', "Accéder à l’ENT Passerelle")
    assert url.startswith("https://ent.test/entrer?iss=https")
    assert _ents(browser.get("/mon-compte?fait=mot-de-passe")) == [(kind, url, name)]
    for path in SUB_PAGES:
        assert _ents(browser.get(path)) == [("", url, name)], path


def test_several_ents_are_shown_by_name_and_one_without_an_address_is_not(browser: FlaskClient, build: Build) -> None:
    build.ent("ENT 59", "cinquante-neuf.test", uais=[LYCEE])
    build.ent("Horizon", "horizon.test", uais=[COLLEGE, LYCEE])
    build.ent("Sans adresse", "sans.test", home_uri="")
    page = enter(browser, build.active(children=[build.child(), build.child("Inès", uai=LYCEE)]))
    assert _ents(page) == [
        (' class="btn alt"', "https://cinquante-neuf.test/", "Accéder à l’ENT 59"),
        (' class="btn alt"', "https://horizon.test/", "Accéder à l’ENT Horizon"),
    ]
    assert "<b><bdi>Malo, 6e 1, Collège des Tilleuls</bdi></b><br>" in page.text
    for path in SUB_PAGES:
        assert [name for _, _, name in _ents(browser.get(path))] == ["Accéder à l’ENT 59", "Accéder à l’ENT Horizon"]


def test_page_shows_no_ent_when_none_serves_the_children(browser: FlaskClient, build: Build) -> None:
    gone = build.ent()
    build.ent("Ailleurs", "ailleurs.test", uais=[LYCEE])
    commit(update(Client).where(Client.client_id == gone.client_id).values(disabled_at=now()))
    assert _ents(enter(browser, build.active())) == []
    assert [path for path in SUB_PAGES if _ents(browser.get(path))] == []


def _ents(page: TestResponse) -> list[tuple[str, str, str]]:
    return re.findall(r'<a( class="[^"]*")? href="([^"]+)">(Accéder [^<]+)</a>', page.text)


@pytest.mark.row("M-05")
def test_actions_by_get_or_with_the_form_token_of_another_session_are_refused(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account, other = build.active(), build.active()
    enter(browser, account)
    stranger = form_token(enter(device(app), other))
    acts = (
        ("/mon-compte/sessions", {"toutes": "1"}),
        ("/mon-compte/verification", {"mot-de-passe": PASSWORD}),
        ("/mon-compte/courrier", {"identifiant": "x", "mot-de-passe": "y"}),
        ("/mon-compte/mot-de-passe", {"actuel": PASSWORD, "nouveau": "orage brique hamster violon"}),
        ("/mon-compte/adresse", {"actuel": PASSWORD, "mail": "x@exemple.fr"}),
    )
    second = device(app, PHONE)
    enter(second, account)
    for path, data in acts:
        for token in ({}, {"csrf_token": stranger}):
            answer = browser.post(path, data={**data, **token})
            assert answer.status_code == 400
            assert heading(answer) == "Cette page est restée ouverte trop longtemps"
        assert browser.get(path, query_string=data).status_code == 200
    assert second.get("/mon-compte").status_code == 200


@pytest.mark.row("M-04")
def test_fields_that_no_form_has_change_nothing(app: Flask, browser: FlaskClient, parent: Account) -> None:
    page = enter(browser, parent)
    extra = {
        "email": "a@b.fr",
        "email_verified": "1",
        "is_admin": "1",
        "sub": "x",
        "children": "all",
        "charter_version": "9",
        "account_id": "1",
        "username": "autre",
        "generation": "0",
        "disabled_at": "",
    }
    before = _row(parent)
    for path, data in (
        ("/mon-compte/sessions", {"toutes": "1"}),
        ("/mon-compte/courrier", {"identifiant": parent.username, "mot-de-passe": "x"}),
        ("/mon-compte/verification", {"mot-de-passe": PASSWORD}),
    ):
        answer = browser.post(path, data={"csrf_token": form_token(browser.get("/mon-compte")), **data, **extra})
        assert answer.status_code in {200, 303}
    assert _row(parent) == before
    assert page.status_code == 200


def _row(account: Account) -> dict[str, object]:
    row = db.session.get_one(Account, account.id, populate_existing=True)
    return {column.name: getattr(row, column.name) for column in Account.__table__.columns}


SCRIPT, BRACES, TURNED = "<script>alert(1)</script>", "{{7777*7777}}", "\u202eNIRAM"
PRODUCT = "60481729"


@pytest.mark.row("M-08")
def test_names_of_the_file_are_text_on_every_page_and_in_the_mails(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    school = build.school()
    school.name = f"Collège {SCRIPT}"
    db.session.commit()
    child = build.child(f"Malo{SCRIPT}", BRACES)
    ent = build.ent(f"ENT {BRACES}{SCRIPT}"[:80], charter="ent")
    build.publish(ent, "1", f"# {SCRIPT}\n\n{BRACES}")
    account = build.active(given_name=f"Noémie{SCRIPT}", family_name=f"{BRACES}{TURNED}", children=[child])
    enter(browser, account)
    charter = re.findall(r'href="(/mon-compte/charte/[^"]+)"', browser.get("/mon-compte/charte").text)
    for path in (*PAGES, *charter):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert PRODUCT not in text_of(page), path
    home = browser.get("/mon-compte")
    assert f"<bdi>Mme Noémie&lt;script&gt;alert(1)&lt;/script&gt; {BRACES}{TURNED}</bdi>" in home.text
    assert f"<bdi>Malo&lt;script&gt;alert(1)&lt;/script&gt; {BRACES}</bdi>" in home.text
    stranger = device(app)
    account.last_sign_in_at = CHANGED
    db.session.commit()
    enter(stranger, account)
    with post_office(app) as office:
        [mail] = office.deliver()
    assert "<script>" not in html_of(mail)
    assert PRODUCT not in mail_text(mail)


def test_a_session_without_confirmed_address_is_redirected_to_the_waiting_page(
    browser: FlaskClient, build: Build
) -> None:
    sign_in(browser, "/connexion", build.unconfirmed().username, PASSWORD)
    for path in PAGES:
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/adresse/confirmation")
        assert heading(follow(browser, answer)) == "Consultez votre messagerie"


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
    enter(browser, build.active(children=[build.child(), build.child("Inès", uai=LYCEE)]))
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
