"""« Gérer mon compte »: what it shows and where it leads. Rows M-04, M-05, M-08, N-04."""

import re
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.families import closing
from idp.families.closing import Decision
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.email_confirmation.post import html_of, post_office
from tests.email_confirmation.post import text_of as mail_text
from tests.my_account.steps import PHONE, device, enter, text_of
from tests.pages import follow, form_token, heading, sign_in

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
    page = enter(browser, build.active())
    tiles = _tiles(page.text)
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


@pytest.mark.parametrize(
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
    page = enter(browser, build.active())
    [(kind, url, name)] = _ents(page)
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
    db.session.execute(update(Client).where(Client.client_id == gone.client_id).values(disabled_at=now()))
    db.session.commit()
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
    account = build.unconfirmed()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    for path in PAGES:
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/adresse/confirmation")
        assert heading(follow(browser, answer)) == "Consultez votre messagerie"
