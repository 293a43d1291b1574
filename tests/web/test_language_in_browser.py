"""The menu of languages in Chromium: the page changes its language in place, and keeps all that was typed."""

from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from idp.accounts.models import Account
from tests.activation.steps import CHOSEN, EMAIL
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.stories.browser import CHROMIUM, follow, look, new_page
from tests.web.test_in_browser import sign_in

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


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
