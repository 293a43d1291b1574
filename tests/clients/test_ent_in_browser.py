"""The ENT's pages in Chromium: accessibility, small and large screens, keyboard."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from clients.ent.app import create_app
from clients.ent.settings import ACCENTS, read_settings
from tests import axe
from tests.clients.conftest import environment
from tests.clients.fake_provider import FakeProvider
from tests.stories.browser import CHROMIUM, PATIENCE, follow

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}
"""The rules of axe about colours."""


@contextmanager
def running_ent(provider: FakeProvider, folder: Path, accent: str) -> Iterator[str]:
    """Run an ENT on a free port, which is reserved first because the settings need its public URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        variables = environment(provider.issuer, folder) | {"ENT_PUBLIC_URL": url, "ENT_ACCENT": accent}
        app = create_app(read_settings(variables))
        server = make_server("127.0.0.1", port, app, threaded=True, fd=listener.fileno())
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture(scope="module")
def chromium(browser_process: Browser) -> Iterator[Page]:
    context = browser_process.new_context()
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(chromium: Page) -> Iterator[Page]:
    chromium.context.clear_cookies()
    complaints: list[str] = []
    chromium.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield chromium
    refused = [text for text in complaints if "Content Security Policy" in text]
    assert refused == []


def look(page: Page, name: str, accents: Sequence[str] = ACCENTS) -> None:
    """Check a page in each accent, in light and dark, at 1280, 360 and 320 pixels.

    The accent and the scheme change nothing but colours, so axe judges the structure of a page once for each width.
    """
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        rules: dict[str, list[str]] = {}
        for accent, scheme in product(accents, _SCHEMES):
            page.evaluate("accent => { document.documentElement.dataset.accent = accent }", accent)
            page.emulate_media(color_scheme=scheme)
            assert axe.violations(page, rules) == [], f"{name}, {accent}, {scheme}, {width}"
            rules = _COLOURS
    page.set_viewport_size({"width": 320, "height": 800})
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0, f"{name} scrolls sideways by {overflow} px at 320"
    targets = page.locator("a.pill, button, input:not([type=hidden]):not([type=checkbox]), .menu a, .bottom a, .quiet")
    for box in [target.bounding_box() for target in targets.all()]:
        assert box is not None
        assert box["height"] >= 44, f"{name}: a target of {box['height']} px"


@pytest.mark.parametrize("accent", ACCENTS[1:])
def test_home_page_of_each_accent_is_accessible(
    page: Page, provider: FakeProvider, tmp_path: Path, accent: str
) -> None:
    with running_ent(provider, tmp_path, accent) as url:
        page.goto(url)
        expect(page.locator("html")).to_have_attribute("data-accent", accent)
        look(page, "home", [accent])


def test_every_page_is_accessible(page: Page, provider: FakeProvider, tmp_path: Path) -> None:
    with running_ent(provider, tmp_path, ACCENTS[0]) as url:
        page.goto(url)
        look(page, "home")
        follow(page.get_by_role("link", name="Se connecter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Charte ENT")
        look(page, "charter")
        follow(page.get_by_role("link", name="Refuser"))
        look(page, "refusal")
        follow(page.get_by_role("link", name="Relire la charte"))
        page.evaluate("document.querySelector('form').noValidate = true")
        follow(page.get_by_role("button", name="Accepter"))
        expect(page).to_have_title("Erreur : Charte ENT – Passerelle")
        look(page, "charter, box not ticked")
        page.get_by_label("J’ai lu et j’accepte la charte").check()
        follow(page.get_by_role("button", name="Accepter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
        look(page, "notifications")
        page.get_by_label("Adresse mail").fill("noemie")
        page.evaluate("document.querySelector('form').noValidate = true")
        follow(page.get_by_role("button", name="Enregistrer"))
        look(page, "notifications, wrong address")
        page.get_by_label("Adresse mail").fill("noemie@exemple.fr")
        follow(page.get_by_role("button", name="Enregistrer"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Bienvenue Noémie LEROY-VANDEPUTTE")
        look(page, "inside")
        page.goto(f"{url}/callback?state=x&iss={provider.issuer}")
        look(page, "problem")
        page.goto(f"{url}/accessibilite")
        look(page, "accessibility")
        page.goto(f"{url}/bienvenue")
        follow(page.get_by_role("button", name="Se déconnecter"))
        expect(page.get_by_role("status")).to_contain_text("Vous êtes déconnecté")
        look(page, "home, signed out")


def test_the_whole_journey_works_with_the_keyboard_alone(page: Page, provider: FakeProvider, tmp_path: Path) -> None:
    def reach(name: str) -> None:
        for _ in range(12):
            page.keyboard.press("Tab")
            focused = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
            if focused == name:
                return
        pytest.fail(f"Tab never reaches « {name} »")

    def enter(name: str) -> None:
        reach(name)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    with running_ent(provider, tmp_path, "aubergine") as url:
        page.goto(url)
        enter("Se connecter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Charte ENT")
        reach("J’ai lu et j’accepte la charte")
        page.keyboard.press("Space")
        enter("Accepter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Notifications")
        enter("Adresse mail")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Bienvenue")
        enter("Se déconnecter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Passerelle")
