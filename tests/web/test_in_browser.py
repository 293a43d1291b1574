"""The pages in Chromium, also with the theme « dsfr »: size of targets, no JavaScript, the menu of languages."""

import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from idp.accounts.models import Account
from idp.config import Settings
from idp.paths import CHECKOUT, STATIC
from tests import axe
from tests.activation.steps import CHOSEN, EMAIL
from tests.applications import lent
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.relying_party import Attempt
from tests.stories.browser import CHROMIUM, follow, look, new_page
from tests.web.tour import pages

NARROWEST = 180  # 360 px at 200 %
_TORN = """element => {
  const range = document.createRange(), torn = [];
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode())
    for (const word of node.data.matchAll(/[\\p{L}’]+/gu)) {
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) torn.push(word[0]);
    }
  return torn;
}"""


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    page.goto(url)
    page.get_by_label("Identifiant", exact=True).fill(username)
    page.get_by_label("Mot de passe", exact=True).fill(password)
    follow(page.get_by_role("button", name="Se connecter"))


def fits_a_thumb(link: Locator) -> None:
    box = link.bounding_box()
    assert box is not None
    assert box["height"] >= 44, (link.inner_text(), box)


def look_narrow_and_wide(page: Page, *links: Locator) -> None:
    """Check a page and the height of its links on a large screen, then on a phone."""
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 740})
        for link in links:
            fits_a_thumb(link)
        look(page)


def whole(page: Page, *, wider: Collection[str] = ()) -> None:
    """Check the page, and that no word is cut unless it is wider than the page."""
    assert set(page.locator("main").evaluate(_TORN)) <= set(wider), page.url
    look(page)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_refusal_link_is_large_enough_for_a_thumb(browser_process: Browser, build: Build, loopback: str) -> None:
    ent = build.ent(charter="provider", policy_uri="https://ent.test/donnees")
    build.publish(ent, "1")
    with new_page(browser_process) as page:
        sign_in(page, loopback + ent.url(Attempt(), prompt="consent"), build.active().username, PASSWORD)
        refusal = page.get_by_role("link", name="Refuser")
        look_narrow_and_wide(page, refusal)
        page.get_by_role("checkbox").check()
        follow(page.get_by_role("button", name="Accepter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Ce que l’ENT va recevoir")
        look_narrow_and_wide(page, refusal, page.get_by_role("link", name="Ce qu’il fait de ces informations"))


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_not_guardian_link_is_large_enough_and_a_password_manager_gets_the_identifier(
    browser_process: Browser, loopback: str, newcomer: Account
) -> None:
    with new_page(browser_process) as page:
        sign_in(page, f"{loopback}/connexion", newcomer.username, PROVISIONAL)
        fits_a_thumb(page.get_by_role("link", name=re.compile("Je ne suis pas le représentant légal")))
        username_field = page.locator("form input[autocomplete=username]")
        expect(username_field).to_be_hidden()
        expect(username_field).to_have_value(newcomer.username)
        look(page)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("javascript", [True, False])
def test_the_sign_in_names_the_button_only_where_it_is(
    browser_process: Browser, build: Build, loopback: str, *, javascript: bool
) -> None:
    with new_page(browser_process, javascript=javascript) as page:
        sign_in(page, f"{loopback}/connexion", build.active().username, "faux")
        advice = page.get_by_role("alert").get_by_role("paragraph")
        expect(page.get_by_role("button", name="Afficher")).to_have_count(int(javascript))
        end = ", et touchez « Afficher »." if javascript else "."
        assert advice.inner_text().replace("\xa0", " ").endswith(f"Retapez le mot de passe lettre par lettre{end}")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_password_is_masked_shown_on_demand_and_pasted(
    browser_process: Browser, loopback: str, newcomer: Account
) -> None:
    # OWASP ASVS 5, V 6.2.6 and 6.2.7.
    with new_page(browser_process) as page:
        page.goto(f"{loopback}/connexion")
        masked_shown_and_pasted(page, page.locator("[name=mot-de-passe]"), "[name=identifiant]", "current-password")
        sign_in(page, f"{loopback}/connexion", newcomer.username, PROVISIONAL)
        masked_shown_and_pasted(page, page.locator("[name=nouveau]"), "[name=mail]", "new-password")


def masked_shown_and_pasted(page: Page, password: Locator, other: str, autocomplete: str) -> None:
    """Check a field for a password; `other` is a field whose text is copied into it."""
    page.locator(other).fill(CHOSEN)
    page.locator(other).press("Control+A")
    page.locator(other).press("Control+C")
    password.press("Control+V")
    expect(password).to_have_value(CHOSEN)
    expect(password).to_have_attribute("autocomplete", autocomplete)
    expect(password).to_have_attribute("type", "password")
    page.get_by_role("button", name="Afficher").click()
    expect(password).to_have_attribute("type", "text")
    page.get_by_role("button", name="Masquer").click()
    expect(password).to_have_attribute("type", "password")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_words_stay_whole_at_twice_the_size(browser_process: Browser, build: Build, loopback: str) -> None:
    with new_page(browser_process, width=NARROWEST) as page:
        for path in ("/connexion", "/mot-de-passe-oublie", "/authorize", "/rien"):
            page.goto(loopback + path)
            whole(page)
        sign_in(page, f"{loopback}/connexion", "x.inconnu", "faux")
        whole(page)
        sign_in(page, f"{loopback}/connexion", build.active(email="n@exemple.fr").username, PASSWORD)
        expect(page.get_by_role("heading", level=1)).to_have_text("Gérer mon compte")
        whole(page)
        page.goto(f"{loopback}/logout")
        whole(page)
        follow(page.get_by_role("button", name="Se déconnecter"))
        whole(page)
        sign_in(page, f"{loopback}/connexion", build.never_activated().username, PROVISIONAL)
        whole(page)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_words_stay_whole_where_the_text_alone_is_twice_as_big(
    browser_process: Browser, build: Build, loopback: str
) -> None:
    ent = build.ent()
    with new_page(browser_process) as page:

        def enlarged() -> None:
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            whole(page, wider={"Sélectionnez"})

        for path in (ent.url(Attempt(), login_hint=None), "/connexion", "/mot-de-passe/change", "/rien"):
            page.goto(loopback + path)
            enlarged()
        page.goto(loopback + ent.url(Attempt()))
        sign_in(page, f"{loopback}/connexion", build.active().username, PASSWORD)
        page.goto(f"{loopback}/mon-compte")
        expect(page.get_by_role("heading", level=1)).to_have_text("Gérer mon compte")
        enlarged()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_reload_asks_for_a_form_again_that_was_refused_and_back_leads_to_the_account(
    browser_process: Browser, loopback: str, parent: Account
) -> None:
    with new_page(browser_process) as page:
        sign_in(page, f"{loopback}/connexion", parent.username, "faux")
        expect(page.get_by_text("Vous n’êtes pas connecté")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Vous n’êtes pas connecté")).to_be_hidden()
        for password in ("faux", PASSWORD):
            page.get_by_label("Identifiant", exact=True).fill(parent.username)
            page.get_by_label("Mot de passe", exact=True).fill(password)
            follow(page.get_by_role("button", name="Se connecter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Gérer mon compte")
        page.go_back()
        expect(page).to_have_url(f"{loopback}/mon-compte")


THEME = CHECKOUT / "themes" / "dsfr"
LOOKED_AT = ["color-contrast", "link-in-text-block", "target-size"]
"""The rules of axe that depend on a style sheet; the others are tried without a theme."""
_LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 360), ("dark", 1280))
_LINKED = re.compile('<link rel="stylesheet" href="/static/base.css[^>]*>')
_MAIN = re.compile(r"<main.*?</main>", re.DOTALL)
_LOOK = """rules => axe.run({runOnly: rules, resultTypes: ["violations"]}).then(({violations}) => [
  ...violations.flatMap(({id, nodes}) => nodes.map(({html, any}) => `${id}: ${html} ${any.map(c => c.message)}`)),
  ...(document.documentElement.scrollWidth > innerWidth ? ["scrolls sideways"] : []),
])"""


def test_the_theme_stands_after_the_base(settings: Settings) -> None:
    with lent(settings.model_copy(update={"theme": THEME}), own=True) as app:
        browser = app.test_client()
        page = browser.get("/connexion").text
        with browser.get("/static/theme/tokens.css") as style:
            assert style.data == (THEME / "tokens.css").read_bytes()
    assert page.index('href="/static/base.css') < page.index('href="/static/theme/tokens.css')
    assert page.count('"/static/logo.svg?v=') == 2, "the theme has no logo.svg"


def test_the_theme_has_nothing_that_only_the_state_may_give() -> None:
    assert {path.name for path in THEME.iterdir()} == {"README.md", "tokens.css"}
    style = (THEME / "tokens.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@font-face|@import", style)


def themed(app: Flask, build: Build) -> str:
    """Return one page with the content of all pages of the journey, so that axe runs once."""
    tour = [page.text for name, page in pages(app, build) if name != "answer posted"]  # it leaves by itself
    link = '<link rel="stylesheet" href="/static/theme/tokens.css">'
    contents = "".join(_MAIN.findall("".join(tour)))
    return _MAIN.sub(lambda _: contents, _LINKED.sub(lambda base: base[0] + link, tour[0]))


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
    # Ukrainian has the longest texts of the sign-in page.
    styles = (STATIC / "base.css").read_text(encoding="utf-8") + (THEME / "tokens.css").read_text(encoding="utf-8")
    ent, account = build.ent(), build.never_activated()
    with new_page(browser_process) as page:
        page.route("**/base.css*", lambda route: route.fulfill(body=styles, content_type="text/css"))
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


def choose(page: Page, language: str, direction: str = "ltr") -> None:
    """Choose a language in the menu; the address of the page stays, and the focus is on the menu."""
    here = page.url
    page.locator(".langs summary").click()
    page.locator(f".langs [lang={language}]").click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("html")).to_have_attribute("dir", direction)
    expect(page.locator(".langs summary")).to_be_focused()
    expect(page.locator(".langs")).not_to_have_attribute("open", "")
    assert page.url == here
    look(page)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_change_of_language_keeps_the_passwords_of_each_form_and_sends_none(
    browser_process: Browser, build: Build, loopback: str
) -> None:
    account, sent = build.never_activated(), list[str]()

    def record(request: Request) -> None:
        sent.append(request.post_data or "")

    with new_page(browser_process) as page:
        sign_in(page, f"{loopback}/connexion", account.username, PROVISIONAL)
        activation = page.url
        states = page.locator("[data-rule] .vh")  # what a screen reader says after each rule
        expect(states).to_have_text(["– à faire", "– à faire"])
        page.locator("[name=nouveau]").fill(CHOSEN)
        expect(states).to_have_text(["– rempli", "– rempli"])
        page.locator("[name=mail]").fill(EMAIL)
        page.on("request", record)
        choose(page, "ar", "rtl")
        expect(page).to_have_title("تفعيل حسابك – Scolarité Services")
        expect(page.locator("[name=nouveau]")).to_have_value(CHOSEN)
        expect(page.locator("[name=mail]")).to_have_value(EMAIL)
        expect(page.locator("[data-rule].done")).to_have_count(2)
        expect(page.locator("[name=confirmation]")).to_have_count(0)
        page.locator("button.eye").click()
        expect(page.locator("[name=nouveau]")).to_have_attribute("type", "text")
        choose(page, "tr")
        expect(page.locator("[name=nouveau]")).to_have_value(CHOSEN)
        [first, second] = filter(None, sent)
        assert [parse_qs(body)["langue"] for body in (first, second)] == [["ar"], ["tr"]]
        assert CHOSEN.split()[0] not in f"{first}{second}"
        page.remove_listener("request", record)
        follow(page.locator("#saisie .btn"))
        expect(page.locator("html")).to_have_attribute("lang", "tr")
        assert page.url != activation
        expect(page.locator("[name=code]")).to_be_visible()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_change_of_language_keeps_a_sign_in_and_a_change_of_password(
    browser_process: Browser, loopback: str, parent: Account
) -> None:
    with new_page(browser_process, width=1280) as page:
        page.goto(f"{loopback}/connexion")
        page.locator("[name=identifiant]").fill(parent.username)
        page.locator("[name=mot-de-passe]").fill(PASSWORD)
        page.locator("[type=checkbox]").check()
        choose(page, "ar", "rtl")
        expect(page.locator("[type=checkbox]")).to_be_checked()
        choose(page, "en")
        follow(page.get_by_role("button", name="Sign in", exact=True))
        page.goto(f"{loopback}/mon-compte/mot-de-passe")
        page.locator("[name=actuel]").fill(PASSWORD)
        page.locator("[name=nouveau]").fill(CHOSEN)
        choose(page, "uk")
        expect(page.locator("[name=actuel]")).to_have_value(PASSWORD)
        follow(page.locator("#saisie .btn").first)
        expect(page.locator(".note.ok")).to_be_visible()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_form_that_cannot_be_shown_again_is_opened_in_the_chosen_language(
    browser_process: Browser, loopback: str
) -> None:
    with new_page(browser_process) as page:
        page.goto(f"{loopback}/connexion")
        page.locator("[name=identifiant]").fill("n.leroy4821")
        page.context.clear_cookies()
        page.locator(".langs summary").click()
        with page.expect_navigation():
            page.locator(".langs [lang=en]").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(page.get_by_role("heading", level=1)).to_have_text("Signing in")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_what_was_typed_stays_if_the_network_fails(browser_process: Browser, loopback: str) -> None:
    context = browser_process.new_context()
    page = context.new_page()
    page.goto(f"{loopback}/connexion")
    page.locator("[name=mot-de-passe]").fill(PASSWORD)
    context.set_offline(offline=True)
    page.locator(".langs summary").click()
    with page.expect_event("requestfailed"):
        page.locator(".langs [lang=en]").click()
    expect(page.locator("[name=mot-de-passe]")).to_have_value(PASSWORD)
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    context.close()
