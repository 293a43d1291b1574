"""Passkeys in Chromium, with a virtual authenticator: from the offer to the inside of an ENT."""

import socket
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page, expect

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import unit_of_work
from idp.oidc.claims.release import PASSKEY_CLASS
from idp.passkeys import keys
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.my_account.passkeys import stored
from tests.protocol.ent_server import listening_ent
from tests.protocol.test_authorize_in_browser import ARRIVED
from tests.relying_party import Attempt, RelyingParty
from tests.stories.browser import CHROMIUM, follow, look, new_page
from tests.stories.bureau import donne_une_cle
from tests.waiting import wait_for
from tests.web.test_in_browser import look_narrow_and_wide

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
BUTTON = "Se connecter avec une clé d’accès"


@pytest.fixture
def settings(database_url: str, listener: socket.socket) -> Settings:
    """The service at a name: a browser makes no passkey for an IP."""
    here = f"http://localhost:{listener.getsockname()[1]}"
    return settings_for(database_url, issuer=here, desk_url="http://127.0.0.1:8003", env="development")


@pytest.fixture
def ent(build: Build) -> Iterator[RelyingParty]:
    """An ENT that shows a page to those who come back."""
    with listening_ent(None) as server:
        server.next = [ARRIVED] * 6
        redirect_uri = f"http://127.0.0.1:{server.port}/cb"
        party = build.ent(redirect_uris=[redirect_uri])
        party.redirect_uri = redirect_uri
        yield party


def arrives(page: Page, ent: RelyingParty, browser: FlaskClient, attempt: Attempt) -> dict[str, object]:
    expect(page.get_by_role("heading", level=1)).to_have_text("Dedans")
    code = parse_qs(urlsplit(page.url).query)["code"][0]
    return dict(ent.tokens(browser, code, attempt)["claims"])


def forget(page: Page) -> None:
    page.context.clear_cookies()


def test_a_parent_adds_a_passkey_and_opens_an_ent_with_it(
    browser_process: Browser, browser: FlaskClient, ent: RelyingParty, loopback: str, parent: Account
) -> None:
    with new_page(browser_process) as page:
        donne_une_cle(page)
        first, second, third = Attempt(), Attempt(), Attempt()
        page.goto(loopback + ent.url(first))
        expect(page.get_by_role("button", name=BUTTON)).to_be_visible()
        look_narrow_and_wide(page)
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter", exact=True))
        expect(page.get_by_role("heading", level=1)).to_have_text("La prochaine fois, sans mot de passe ?")
        look_narrow_and_wide(page)
        page.get_by_role("button", name="Ajouter une clé d’accès").click()
        assert arrives(page, ent, browser, first)["amr"] == ["pwd"]

        forget(page)
        page.goto(loopback + ent.url(second))  # the browser lists its keys at the identifier, and one is chosen
        claims = arrives(page, ent, browser, second)
        assert (claims["amr"], claims["acr"]) == (["hwk", "user"], PASSKEY_CLASS)

        page.goto(f"{loopback}/mon-compte/cles")
        expect(page.get_by_text("Dernière utilisation : aujourd’hui")).to_be_visible()
        page.get_by_text("Renommer ou retirer").click()
        look_narrow_and_wide(page)

        forget(page)
        page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(loopback + ent.url(third))
        expect(page.get_by_role("button", name=BUTTON)).to_be_visible()
        assert not [url for url in asked if url.endswith("/defi")], "no challenge before it is of use"
        page.get_by_label("Rester connecté sur cet appareil").check()
        page.get_by_role("button", name=BUTTON).press("Enter")
        assert arrives(page, ent, browser, third)["acr"] == PASSKEY_CLASS
        assert any(cookie["name"].endswith("ds") for cookie in page.context.cookies()), "the tick counts for the key"


_BY_ITSELF = """
PublicKeyCredential.getClientCapabilities = async () => ({conditionalCreate: true});
const create = navigator.credentials.create.bind(navigator.credentials);
navigator.credentials.create = async (how) => {
  sessionStorage.tries = Number(sessionStorage.tries || 0) + 1;
  if (how.mediation !== "conditional" || sessionStorage.refuses) throw new DOMException("", "NotAllowedError");
  delete how.mediation;
  return create(how);
};
"""
"""A browser whose password manager makes passkeys by itself; the authenticator of Chromium's protocol does not."""


@pytest.mark.parametrize("refuses", [False, True], ids=["made", "refused"])
def test_a_password_manager_makes_a_key_by_itself_once(
    browser_process: Browser, loopback: str, parent: Account, *, refuses: bool
) -> None:
    with new_page(browser_process) as page:
        session, authenticator = donne_une_cle(page)
        page.add_init_script(_BY_ITSELF)
        page.goto(f"{loopback}/connexion")
        page.evaluate("refuses => { if (refuses) sessionStorage.refuses = '1'; }", refuses)
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Se connecter", exact=True).click()
        if refuses:
            expect(page.get_by_role("button", name="Ajouter une clé d’accès")).to_be_visible()
            # Not wait_for_function: the page's policy forbids the evaluation that repeats it.
            wait_for(lambda: page.evaluate("sessionStorage.tries === '1' && history.state !== null"))
            page.reload()
            expect(page.get_by_role("button", name="Ajouter une clé d’accès")).to_be_visible()
            look(page)
            assert page.evaluate("sessionStorage.tries") == "1", "a refusal is not asked again"
            return
        expect(page.get_by_text("C’est fait.")).to_be_visible()
        [row] = stored(parent)

        with unit_of_work():
            keys.remove(parent.id, row.id)
        page.goto(f"{loopback}/mon-compte/cles")  # the last key of an account is not known by its handle any more
        forget(page)
        page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false")
        page.goto(f"{loopback}/connexion")
        page.get_by_role("button", name=BUTTON).click()
        expect(page.get_by_text("Cette clé d’accès n’ouvre pas de compte.")).to_be_visible()
        kept = session.send("WebAuthn.getCredentials", {"authenticatorId": authenticator})["credentials"]
        assert kept == [], "the browser forgot the key that nobody knows"


@pytest.mark.parametrize("by_ip", [True, False], ids=["at an IP", "without a script"])
def test_a_browser_without_passkeys_sees_nothing_of_them(
    browser_process: Browser, loopback: str, *, by_ip: bool
) -> None:
    with new_page(browser_process, javascript=by_ip) as page:
        page.goto(f"{loopback.replace('localhost', '127.0.0.1') if by_ip else loopback}/connexion")
        expect(page.get_by_role("button", name="Se connecter", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name=BUTTON)).to_have_count(0)


@pytest.mark.parametrize("by_ip", [True, False], ids=["at an IP", "without a script"])
def test_the_page_of_the_passkeys_says_why_none_can_be_added(
    browser_process: Browser, build: Build, loopback: str, *, by_ip: bool
) -> None:
    account = build.active(email="noemie@exemple.fr")
    why = "adresse du service est faite de chiffres" if by_ip else "demandent JavaScript"
    with new_page(browser_process, javascript=by_ip) as page:
        page.goto(f"{loopback.replace('localhost', '127.0.0.1') if by_ip else loopback}/mon-compte/cles")
        page.get_by_label("Identifiant", exact=True).fill(account.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter", exact=True))
        page.goto(f"{urlsplit(page.url).scheme}://{urlsplit(page.url).netloc}/mon-compte/cles")
        expect(page.get_by_role("heading", level=1)).to_have_text("Se connecter sans mot de passe")
        expect(page.locator("p", has_text=why)).to_be_visible()
        expect(page.get_by_label("Nom de la clé")).to_be_hidden()
        expect(page.get_by_role("button", name="Ajouter une clé d’accès")).to_have_count(0)
        look(page)
