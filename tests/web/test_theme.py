"""A theme is a folder; « dsfr » keeps the pages of the journey accessible, light and dark, on a phone and wide."""

import re
from typing import Literal
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, Route

from idp.app import create_app
from idp.config import Settings
from idp.paths import CHECKOUT, STATIC
from idp.services import services_of
from tests import axe
from tests.builders import PROVISIONAL, Build
from tests.relying_party import Attempt
from tests.stories.browser import CHROMIUM, new_page
from tests.web.test_in_browser import sign_in
from tests.web.tour import pages

THEME = CHECKOUT / "themes" / "dsfr"
LOOKED_AT = ["color-contrast", "link-in-text-block", "target-size"]
"""The rules of axe that depend on a style sheet; the others are tried without a theme."""
_LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 360), ("dark", 1280))
_LINKED = '<link rel="stylesheet" href="/static/base.css'
_MAIN = re.compile(r"<main.*?</main>", re.DOTALL)
_LOOK = """rules => axe.run({runOnly: rules, resultTypes: ["violations"]}).then(({violations}) => [
  ...violations.flatMap(({id, nodes}) => nodes.map(({html, any}) => `${id}: ${html} ${any.map(c => c.message)}`)),
  ...(document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : []),
])"""


def test_the_theme_stands_between_the_tokens_and_the_base(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"theme": THEME}))
    browser = app.test_client()
    page = browser.get("/connexion").text
    order = [page.index(f'href="/static/{name}.css') for name in ("tokens", "theme/tokens", "base")]
    assert order == sorted(order)
    assert page.count('"/static/logo.svg?v=') == 2, "the theme has no logo.svg"
    style = browser.get("/static/theme/tokens.css")
    assert style.data == (THEME / "tokens.css").read_bytes()
    style.close()
    services_of(app).close()


def test_the_theme_has_nothing_that_only_the_state_may_give() -> None:
    assert {path.name for path in THEME.iterdir()} == {"README.md", "tokens.css"}
    style = (THEME / "tokens.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@font-face|@import", style)


def themed(app: Flask, build: Build) -> str:
    """Return one page with the content of all pages of the journey, so that axe runs once."""
    tour = [page.text for name, page in pages(app, build) if name != "answer posted"]  # it leaves by itself
    link = '<link rel="stylesheet" href="/static/theme/tokens.css">'
    contents = "".join(_MAIN.findall("".join(tour)))
    return _MAIN.sub(lambda _: contents, tour[0].replace(_LINKED, link + _LINKED))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_axe_finds_nothing_on_the_pages_of_the_journey_with_dsfr(
    app: Flask, build: Build, browser_process: Browser
) -> None:
    html = themed(app, build)

    def answer(route: Route) -> None:
        name = urlsplit(route.request.url).path.removeprefix("/static/")
        file = THEME / "tokens.css" if name == "theme/tokens.css" else STATIC / name
        if file.is_file():
            route.fulfill(path=file)
        else:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")

    page = browser_process.new_page()
    page.route("**/*", answer)
    page.goto("http://theme.test/")
    page.evaluate(axe.script())
    assert page.evaluate("getComputedStyle(document.body).fontFamily") == "Marianne, arial, sans-serif"
    for scheme, width in _LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate(_LOOK, LOOKED_AT) == [], (scheme, width)
    page.close()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_button_of_a_short_form_is_on_the_first_screen_of_a_phone_with_dsfr(
    browser_process: Browser, build: Build, loopback: str
) -> None:
    """Ukrainian has the longest texts of the sign-in page."""
    tokens = "".join((folder / "tokens.css").read_text(encoding="utf-8") for folder in (STATIC, THEME))
    ent, account = build.ent(), build.never_activated()
    with new_page(browser_process) as page:
        page.route("**/tokens.css*", lambda route: route.fulfill(body=tokens, content_type="text/css"))
        sign_in(page, f"{loopback}{ent.url(Attempt())}", account.username, PROVISIONAL)
        activation = page.url
        page.goto(f"{loopback}{ent.url(Attempt())}")
        for url in (activation, page.url):
            for language in ("fr", "pt", "uk"):
                page.goto(f"{url}&langue={language}")
                assert _bottom(page) <= 740, (url, language)


def _bottom(page: Page) -> float:
    box = page.locator("#saisie .btn[type=submit]").bounding_box()
    assert box is not None
    return box["y"] + box["height"]
