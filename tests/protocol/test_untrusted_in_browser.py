"""Requests with an unregistered URI in Chromium, at the sign-in and at the sign-out."""

import pytest
from playwright.sync_api import Browser, expect

from idp.accounts.models import Account
from tests.builders import PASSWORD, Build
from tests.relying_party import Attempt
from tests.stories.browser import CHROMIUM, follow, new_page
from tests.web.test_in_browser import look_narrow_and_wide

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


def test_the_page_names_an_unregistered_redirect_uri(
    browser_process: Browser, loopback: str, build: Build, parent: Account
) -> None:
    """RP-Initiated Logout 1.0, 3; RFC 6749, 4.1.2.1."""
    ent = build.ent()
    with new_page(browser_process) as page:
        page.goto(loopback + ent.url(Attempt(), redirect_uri="https://ent.test/autre"))
        look_narrow_and_wide(page)
        expect(page.get_by_text("n’est pas enregistrée ici")).to_be_visible()
        page.goto(f"{loopback}/connexion")
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter"))
        page.goto(f"{loopback}/logout?client_id={ent.client_id}&post_logout_redirect_uri=https://ent.test/autre")
        look_narrow_and_wide(page)
        expect(page.get_by_text("invalid post_logout_redirect_uri")).to_be_visible()
        follow(page.get_by_role("button", name="Se déconnecter"))
        look_narrow_and_wide(page)
        expect(page.get_by_role("heading", name="Vous êtes déconnecté")).to_be_visible()
        expect(page.get_by_text("invalid post_logout_redirect_uri")).to_be_visible()
