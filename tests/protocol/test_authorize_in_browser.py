"""The pages of `/authorize` in Chromium: the posted response, the question of `prompt=consent`, and the link back to
the ENT.

The form of the response is sent at once by a script, or with its button without JavaScript.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from idp.accounts.models import Account
from idp.db import db
from tests.builders import LYCEE, PASSWORD, Build
from tests.protocol.ent_server import Asked, EntServer, listening_ent
from tests.relying_party import Attempt, RelyingParty
from tests.stories.browser import CHROMIUM, follow, new_page
from tests.web.test_in_browser import look_narrow_and_wide

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

HOSTILE = "\"><script>document.title='taken'</script> é&amp;+ %0A"
ARRIVED = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<!DOCTYPE html><title>ENT</title><h1>Dedans</h1>")
HEADING = "Retour à l’ENT"


@dataclass
class Ent:
    """A registered ENT and the server behind its redirect URI."""

    party: RelyingParty
    server: EntServer

    def arrived(self) -> tuple[Asked, dict[str, list[str]]]:
        [post] = [request for request in self.server.asked if request.method == "POST"]
        return post, parse_qs(post.body, keep_blank_values=True, strict_parsing=True)


@pytest.fixture
def ent(app: Flask, build: Build) -> Iterator[Ent]:
    with listening_ent(None) as server:
        server.next = [ARRIVED] * 3
        redirect_uri = f"http://127.0.0.1:{server.port}/cb?bar=foo"
        party = build.ent(redirect_uris=[redirect_uri])
        party.redirect_uri = redirect_uri
        yield Ent(party, server)


def sign_in(page: Page, loopback: str, ent: Ent, account: Account, attempt: Attempt, **changes: str | None) -> None:
    page.goto(loopback + ent.party.url(attempt, **{"response_mode": "form_post", **changes}))
    page.get_by_label("Identifiant", exact=True).fill(account.username)
    page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
    follow(page.get_by_role("button", name="Se connecter"))


def check(ent: Ent, attempt: Attempt) -> None:
    post, form = ent.arrived()
    assert (post.path, post.headers["Content-Type"]) == ("/cb?bar=foo", "application/x-www-form-urlencoded")
    assert form.keys() == {"code", "state", "iss", "session_state"}
    assert (form["state"], form["iss"]) == ([attempt.state], [ent.party.issuer])
    assert len(form["code"][0]) == 43
    assert "Referer" not in post.headers


@pytest.mark.row("B-03")
def test_the_form_of_the_sign_in_may_end_at_the_ent(
    browser_process: Browser, loopback: str, ent: Ent, parent: Account, attempt: Attempt
) -> None:
    # Security row B-03. The form redirects the browser to another origin.
    with new_page(browser_process) as page:
        sign_in(page, loopback, ent, parent, attempt, response_mode=None)
        expect(page.get_by_role("heading", level=1)).to_have_text("Dedans")
        assert page.url.startswith(f"{ent.party.redirect_uri}&code=")
        assert f"state={attempt.state}" in page.url


@pytest.mark.row("A-12")
def test_the_script_submits_the_form(browser_process: Browser, loopback: str, ent: Ent, parent: Account) -> None:
    # Form Post Response Mode 1.0, 2.
    attempt = Attempt(state=HOSTILE)
    with new_page(browser_process) as page:
        sign_in(page, loopback, ent, parent, attempt)
        expect(page.get_by_role("heading", level=1)).to_have_text("Dedans")
        assert page.url == ent.party.redirect_uri
        check(ent, attempt)


@pytest.mark.row("A-12")
def test_without_a_script_its_button_sends_it(
    browser_process: Browser, loopback: str, ent: Ent, parent: Account
) -> None:
    # Form Post Response Mode 1.0, 2.
    attempt = Attempt(state=HOSTILE)
    with new_page(browser_process, javascript=False) as page:
        sign_in(page, loopback, ent, parent, attempt)
        expect(page.get_by_role("heading", level=1)).to_have_text(HEADING)
        follow(page.get_by_role("button", name="Continuer"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Dedans")
        check(ent, attempt)


@pytest.mark.row("A-12")
def test_the_page_has_the_layout_of_the_service(
    browser_process: Browser, loopback: str, ent: Ent, parent: Account
) -> None:
    # Form Post Response Mode 1.0, 2. Without JavaScript the page is visible and looks like the others.
    with new_page(browser_process) as page:
        page.route("**/form_post.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
        sign_in(page, loopback, ent, parent, Attempt(state=HOSTILE))
        expect(page).to_have_title(f"{HEADING} – Scolarité Services")
        look_narrow_and_wide(page)


@pytest.mark.row("A-15")
@pytest.mark.parametrize(("width", "javascript"), [(360, True), (1280, False)])
def test_the_consent_form_redirects_to_the_ent(
    browser_process: Browser,
    loopback: str,
    ent: Ent,
    parent: Account,
    width: int,
    attempt: Attempt,
    *,
    javascript: bool,
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The page's policy allows the form to redirect to the ENT.
    with new_page(browser_process, width=width, javascript=javascript) as page:
        sign_in(page, loopback, ent, parent, attempt, response_mode=None, prompt="consent")
        expect(page.get_by_role("heading", level=1)).to_have_text("Ce que l’ENT va recevoir")
        if javascript:
            look_narrow_and_wide(page)
        follow(page.get_by_role("button", name="Continuer"))
        assert page.url.startswith(f"{ent.party.redirect_uri}&code=")


@pytest.mark.parametrize(("width", "javascript"), [(360, True), (1280, False)])
def test_a_parent_who_cancels_returns_to_the_ent_and_may_sign_in_again(
    browser_process: Browser,
    loopback: str,
    ent: Ent,
    parent: Account,
    width: int,
    attempt: Attempt,
    *,
    javascript: bool,
) -> None:
    # RFC 6749, 4.1.2.1.
    ent.server.served["/cb"] = ARRIVED
    with new_page(browser_process, width=width, javascript=javascript) as page:
        page.goto(loopback + ent.party.url(attempt, login_hint=None))
        for title in ("Sélectionnez votre profil", "Connexion"):
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
            link = page.get_by_role("link", name="Revenir à l’ENT Passerelle")
            if javascript:
                look_narrow_and_wide(page, link)
            follow(link)
            assert page.url.startswith(f"{ent.party.redirect_uri}&error=access_denied&")
            page.go_back()
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
            if title != "Connexion":
                follow(page.get_by_role("button", name="Parent"))
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter"))
        assert page.url.startswith(f"{ent.party.redirect_uri}&code=")


@pytest.mark.parametrize(("width", "javascript"), [(360, True), (1280, False)])
def test_a_parent_of_another_ent_gets_a_link_to_their_own_ent(
    browser_process: Browser, loopback: str, build: Build, parent: Account, width: int, *, javascript: bool
) -> None:
    # RFC 6749, 4.1.2.1. The page names the reason, and its links are large enough.
    foreign = build.ent("Horizon", "horizon.test", uais=[LYCEE])
    build.ent(home_uri=f"{loopback}/healthz")
    build.school().phone = "03 99 00 12 34"
    db.session.commit()
    with new_page(browser_process, width=width, javascript=javascript) as page:
        page.goto(loopback + foreign.url(Attempt()))
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Vos enfants ne sont pas dans cet ENT")
        names = "Changer de compte", "Se déconnecter", "Revenir à l’ENT Horizon"
        look_narrow_and_wide(page, *(page.get_by_role("link", name=name) for name in names))
        follow(page.get_by_role("link", name="Accéder à l’ENT Passerelle"))
        assert page.url.startswith(f"{loopback}/healthz")
