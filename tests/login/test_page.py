"""The sign-in page of a browser that nothing is known of, and of one that two people use."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings as limits, strategies as st
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.clients.registry import LETTER_HINT, PARENT_HINT
from idp.config import Settings
from idp.db import db
from idp.login import plain
from idp.registration import rows
from idp.services import services_of
from tests.builders import PASSWORD, Build, change_registration, commit
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import code_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

_MARK = re.compile(r"mark[0-9a-f]{32}")
_SIGNATURE = re.compile(r"\.[\w-]{6}\.[\w-]{43}(?![\w-])")
"""The time and the signature of a signed value, which differ if a second has passed."""
_PLAIN_LINK = re.compile(r"demande=([\w.-]+)")


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    rendered: list[str] = []
    render = plain.render

    def note(*args: object, **options: object) -> str:
        html: str = render(*args, **options)  # type: ignore[arg-type]
        rendered.append(html)
        return html

    monkeypatch.setattr(plain, "render", note)
    return rendered


def start(app: Flask, ent: RelyingParty, **parameters: str) -> tuple[FlaskClient, str]:
    browser = app.test_client()
    answer = browser.get(ent.url(Attempt(), login_hint="profil:parent", **parameters))
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/connexion?")
    return browser, answer.headers["Location"]


def test_two_browsers_get_the_same_page_each_with_its_own_values(app: Flask, ent: RelyingParty) -> None:
    pages: list[str] = []
    tokens: list[str] = []
    links: list[str] = []
    for _ in range(3):
        browser, url = start(app, ent)
        page = browser.get(url)
        text, token, [link] = page.get_data(as_text=True), form_token(page), {*_PLAIN_LINK.findall(url)}
        assert {*_PLAIN_LINK.findall(text)} == {link}
        assert text.count(link) == 4
        assert text.count(token) == 2, "in the forms of the password and of a passkey"
        assert not _MARK.search(text)
        for other in (*tokens, *links):
            assert other not in text
        pages.append(text.replace(link, "").replace(token, ""))
        tokens.append(token)
        links.append(link)
    assert len(set(pages)) == 1


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20))
@limits(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_plain_is_the_ordinary_one(app: Flask, build: Build, ordinary: list[str], name: str) -> None:
    browser, url = start(app, build.ent(name=f"{name} <b>&amp;", host=f"h{abs(hash(name))}.test"))
    ordinary.clear()
    plain = browser.get(url)
    again = browser.get(url)
    marked = len(ordinary)
    assert marked <= 1, "it is rendered once"
    full = browser.get(f"{url}&x=1")
    assert len(ordinary) == marked + 1, "Flask's view rendered this one"
    texts = [page.get_data(as_text=True).replace(form_token(page), "") for page in (plain, again, full)]
    assert len({_SIGNATURE.sub("", text) for text in texts}) == 1
    assert {page.headers["Content-Type"] for page in (plain, full)} == {"text/html; charset=utf-8"}


def test_the_page_of_a_person_or_of_a_hint_is_never_the_plain_one(
    app: Flask, ent: RelyingParty, ordinary: list[str], parent: Account
) -> None:
    browser, url = start(app, ent)
    signed_in = app.test_client()
    sign_in(signed_in, "/connexion", parent.username, PASSWORD)
    ordinary.clear()
    page = follow(signed_in, signed_in.get(ent.url(Attempt(), prompt="login", login_hint="profil:parent")))
    assert parent.short_name in page.get_data(as_text=True)
    hinted = app.test_client()
    assert follow(hinted, hinted.get(ent.url(Attempt(), login_hint="profil:parent"))).status_code == 200
    assert browser.get(url).status_code == 200
    assert parent.short_name not in browser.get(url).get_data(as_text=True)
    assert parent.username not in browser.get(url).get_data(as_text=True)


def test_a_changed_registration_gets_a_page_of_its_own(app: Flask, ent: RelyingParty, settings: Settings) -> None:
    browser, url = start(app, ent)
    assert "Passerelle" in browser.get(url).get_data(as_text=True)
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    change_registration(settings, client, replace(rows.read(client), name="Estuaire"))
    registry.forget()
    text = browser.get(url).get_data(as_text=True)
    assert "Estuaire" in text
    assert "Passerelle" not in text


def test_another_browser_s_url_and_a_changed_one_are_refused(app: Flask, ent: RelyingParty) -> None:
    _, url = start(app, ent)
    stranger, own = start(app, ent)
    for refused in (f"{own}=%22%3E%3Cb%3E", f"{own}%0A", url, f"{url}x", "/connexion?demande="):
        page = stranger.get(refused)
        assert page.status_code == 400
        assert "Pages de l’ENT" not in page.get_data(as_text=True)


def test_a_person_with_a_letter_is_offered_its_password_alone(browser: FlaskClient, ent: RelyingParty) -> None:
    for hint, offered in ((LETTER_HINT, False), (PARENT_HINT, True)):
        page = follow(browser, browser.get(ent.url(Attempt(), login_hint=hint)))
        assert heading(page) == "Connexion"
        assert ("Rester connecté" in page.text, "data-passkey=" in page.text) == (offered, offered)


def test_pages_in_memory_are_bounded(app: Flask, ent: RelyingParty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_MOST", 1)
    for name in ("un", "deux", "trois"):
        browser, url = start(app, ent)
        kept = services_of(app).sign_in_pages
        for key in list(kept):
            kept[key[0], key[1] - 1, name, key[3]] = kept.pop(key)
        assert browser.get(url).status_code == 200
        assert len(services_of(app).sign_in_pages) == 1


HOST = "connexion.exemple.test"
_LINK = re.compile(r'href="(/connexion[^"]*compte=[^"]+)"[^>]*><bdi>([^<]+)</bdi>')
_NOT_ME = re.compile(r'href="(/connexion[^"]*compte=autre)"')


@pytest.fixture
def people(browser: FlaskClient, build: Build) -> list[Account]:
    """Two parents who signed in on one browser; the second one is signed in."""
    named = [("Noémie", "LEROY"), ("Karim", "DIALLO")]
    accounts = [build.active(given_name=given, family_name=family, username=f"{given[0].lower()}.{family.lower()}7",
                             email=f"{family.lower()}@exemple.fr") for given, family in named]  # fmt: skip
    for account in accounts:
        browser.delete_cookie("__Host-ss", domain=HOST)
        sign_in(browser, "/connexion", account.username, PASSWORD)
    return accounts


def links(text: str) -> dict[str, str]:
    return {name: url.replace("&amp;", "&") for url, name in _LINK.findall(text)}


@pytest.mark.row("I-26")
def test_a_browser_of_two_people_offers_them_by_given_name_and_signs_the_chosen_one_in(
    browser: FlaskClient, ent: RelyingParty, people: list[Account]
) -> None:
    browser.delete_cookie("__Host-ss", domain=HOST)
    url = browser.get(ent.url(Attempt(), login_hint="profil:parent")).headers["Location"]
    page = browser.get(url, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in page.headers, "names stand beside what a URL brings"
    assert list(links(page.text)) == ["Karim D.", "Noémie L."]
    page = browser.get(links(page.text)["Noémie L."])
    for account in people:
        assert account.username not in page.text
        assert account.family_name not in page.text
    assert "Identifiant" not in re.findall(r"<label[^>]*>([^<]+)", page.text)
    assert "mot de passe provisoire" not in page.text
    number = re.findall(r'name="compte" value="([^"]+)"', page.text)[0]
    wrong = submit(browser, page, mot_de_passe="pas le bon", compte=number)
    assert "n’êtes pas connecté" in wrong.text
    assert people[0].username not in wrong.text
    assert 'name="compte"' in wrong.text
    assert ent.answer(submit(browser, wrong, mot_de_passe=PASSWORD, compte=number))["code"]
    assert people[0].given_name in browser.get("/mon-compte").text


@pytest.mark.row("I-26")
def test_not_me_leads_to_the_other_account_in_one_tap_and_in_the_same_request(
    browser: FlaskClient, ent: RelyingParty, people: list[Account]
) -> None:
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    assert people[1].family_name in page.text
    page = browser.get(_NOT_ME.findall(page.text)[0].replace("&amp;", "&"))
    assert heading(page) == "Connexion"
    assert "Noémie L." in page.text
    assert people[1].family_name not in page.text
    number = re.findall(r'name="compte" value="([^"]+)"', page.text)[0]
    page = submit(browser, page, mot_de_passe=PASSWORD, compte=number)
    assert heading(page) == "Ce que l’ENT va recevoir", "the same request goes on"
    assert people[0].family_name in page.text


@pytest.mark.row("I-26")
def test_a_browser_of_one_person_or_of_strangers_gets_the_same_page_as_all(
    app: Flask, browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert code_for(browser, ent, Attempt())
    browser.delete_cookie("__Host-ss", domain=HOST)
    pages = []
    for visitor in (browser, app.test_client()):
        url = visitor.get(ent.url(Attempt(), login_hint="profil:parent")).headers["Location"]
        page = visitor.get(url)
        pages.append(page.text.replace(url.partition("demande=")[2], "").replace(form_token(page), ""))
    assert pages[0] == pages[1]


@pytest.mark.row("I-26")
def test_the_code_of_a_letter_asks_whose_the_open_account_is(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6. The account of one parent does not open by the letter of the other one.
    session = build.active()
    sign_in(browser, "/connexion", session.username, PASSWORD)
    assert ent.answer(browser.get(ent.url(Attempt(), login_hint="profil:parent")))["code"]
    silent = browser.get(ent.url(Attempt(), login_hint=LETTER_HINT, prompt="none"))
    assert ent.answer(silent)["error"] == "account_selection_required"
    page = follow(browser, browser.get(ent.url(Attempt(), login_hint=LETTER_HINT)))
    assert heading(page) == "C’est bien votre compte ?"
    assert "Noémie L." in page.text
    assert session.family_name not in page.text
    back = browser.get(page.request.full_path.replace("/authorize/est-ce-vous?", "/authorize/resume?"))
    assert heading(follow(browser, back)) == "C’est bien votre compte ?", "no URL skips the question"
    assert ent.answer(submit(browser, page))["code"], "asked once"
    page = follow(browser, browser.get(ent.url(Attempt(), login_hint=LETTER_HINT)))
    page = submit(browser, page, autre="1")
    assert heading(page) == "Connexion", "of the same request"
    assert browser.get("/mon-compte").status_code == 303, "signed out"
    answer = submit(browser, page, identifiant=build.active().username, mot_de_passe=PASSWORD)
    assert ent.answer(answer)["code"], "who signs in for the request is not asked"


@pytest.mark.row("I-26")
@each_row("number", ["", "x", "autre", "é" * 50, "%00"])
def test_a_number_that_is_unknown_shows_the_form(browser: FlaskClient, number: str) -> None:
    page = browser.get(f"/connexion?compte={number}")
    assert page.status_code == 200
    assert "Identifiant" in page.text
    page = submit(browser, page, mot_de_passe=PASSWORD, compte=number)
    assert "Tapez votre identifiant" in page.text


@pytest.mark.row("I-26")
def test_the_password_of_a_letter_is_named_only_where_it_can_be_a_first_sign_in(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    first = "Première fois\u00a0: le mot de passe provisoire du courrier."
    newcomer = app.test_client()
    assert first in follow(newcomer, newcomer.get(ent.url(Attempt()))).text
    assert first in newcomer.get("/connexion").text
    account = build.active()
    sign_in(browser, "/connexion", account.username, PASSWORD)
    for asked in ({"prompt": "login"}, {"max_age": "0"}):
        again = follow(browser, browser.get(ent.url(Attempt(), **asked)))
        assert heading(again) == "Connexion"
        assert first not in again.text, asked
        assert first not in submit(browser, again, identifiant=account.username, mot_de_passe="faux").text, asked
    browser.delete_cookie("__Host-ss", domain=HOST)
    known = sign_in(browser, "/connexion", account.username.upper(), "faux")
    assert "n’êtes pas connecté" in known.text
    assert first not in known.text
    assert first in sign_in(browser, "/connexion", "x.autre7", "faux").text
    db.session.execute(update(Account).values(activated_at=None))  # as a new letter does
    db.session.commit()
    assert first in sign_in(browser, "/connexion", account.username, "faux").text


@pytest.mark.row("I-26")
def test_the_number_of_an_account_never_becomes_its_identifier(
    browser: FlaskClient, build: Build, people: list[Account]
) -> None:
    # Not beside another person's session, nor once the account is not offered, nor in another language.
    url = links(browser.get("/connexion?compte=autre").text).get("Noémie L.")
    page = browser.get(url or "/connexion?compte=autre")
    number = re.findall(r'name="compte" value="([^"]+)"', page.text)[0]
    former = browser.post("/connexion", data={"csrf_token": "old", "compte": number, "mot-de-passe": "x"})
    assert heading(former) == "Un autre compte est ouvert ici"
    commit(update(Account).values(activated_at=None))
    answers = [former, *(submit(browser, page, compte=number, **more) for more in ({}, {"langue": "en"}))]
    for answer in answers:
        assert people[0].username not in answer.text
        assert people[1].username not in answer.text
