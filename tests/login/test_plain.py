"""The sign-in page of a browser that nothing is known of: the same page as any other, with its own values alone."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.clients.registry import LETTER_HINT, PARENT_HINT
from idp.config import Settings
from idp.db import db
from idp.login import plain
from idp.registration import rows
from idp.services import services_of
from tests.builders import PASSWORD, Build, change_registration
from tests.pages import follow, form_token, heading, sign_in
from tests.relying_party import Attempt, RelyingParty

_MARK = re.compile(r"mark[0-9a-f]{32}")
_SIGNATURE = re.compile(r"\.[\w-]{6}\.[\w-]{43}(?![\w-])")
"""The time and the signature of a signed value, which differ if a second has passed."""
_LINK = re.compile(r"demande=([\w.-]+)")


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
        text, token, [link] = page.get_data(as_text=True), form_token(page), {*_LINK.findall(url)}
        assert {*_LINK.findall(text)} == {link}
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
    ent = build.ent(name=f"{name} <b>&amp;", host=f"h{abs(hash(name))}.test")
    browser, url = start(app, ent)
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
    answer = follow(hinted, hinted.get(ent.url(Attempt(), login_hint="profil:parent")))
    assert answer.status_code == 200
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
