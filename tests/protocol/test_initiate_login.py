"""« Accéder à l’ENT » leads to the ENT's initiate_login_uri (OpenID Connect Core 4)."""

from html import unescape
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
from flask.testing import FlaskClient

from idp import profile_choice
from idp.clients import registry
from tests.activation.steps import activate, newest_link
from tests.builders import Build
from tests.pages import heading, submit
from tests.rows import each_row

HOME = "https://ent.test/"
BEGIN = "https://ent.test/login"


def entrance(build: Build, **registered: str) -> str:
    client = registry.find(build.ent(**registered).client_id)
    assert client
    return client.entrance(build.settings.issuer)


@each_row(
    ("begin", "home", "target"),
    [
        (f"{BEGIN}?", f"{HOME}?a=b&c=d", [("target_link_uri", f"{HOME}?a=b&c=d")]),
        (f"{BEGIN}?idp=edu%26co&", HOME, [("target_link_uri", HOME)]),
        (f"{BEGIN}?", "", []),
    ],
)
def test_the_initiated_login_has_the_issuer_the_profile_and_the_target(
    build: Build, begin: str, home: str, target: list[tuple[str, str]]
) -> None:
    """OpenID Connect Core 1.0, 4. The registered query stays as it is."""
    url = entrance(build, initiate_login_uri=begin[:-1], home_uri=home)
    assert url.startswith(begin)
    added = parse_qsl(url.removeprefix(begin), strict_parsing=True)
    assert added == [("iss", build.settings.issuer), ("login_hint", "profil:parent"), *target]


@each_row("home", [HOME, ""])
def test_an_ent_that_begins_no_sign_in_is_entered_by_its_home(build: Build, home: str) -> None:
    """OpenID Connect Registration 1.0, 2."""
    assert entrance(build, home_uri=home) == home


@each_row(
    ("begin", "url"),
    [
        (BEGIN, f"{BEGIN}?iss=%s&login_hint=profil%%3Aparent%%3Acourrier"),
        ("", HOME),
        (f"{BEGIN}?x={'y' * 220}", HOME),
    ],
)
def test_the_code_of_a_letter_starts_the_sign_in_of_a_parent(build: Build, begin: str, url: str) -> None:
    """OpenID Connect Core 1.0, 4: `login_hint`. A code with more than 250 characters is too fine for paper."""
    client = registry.find(build.ent(initiate_login_uri=begin, home_uri=HOME).client_id)
    assert client
    issuer = build.settings.issuer
    assert client.short_entrance(issuer) == (url % quote_plus(issuer) if "%s" in url else url)
    assert (
        profile_choice.from_hint("profil:parent:courrier")
        == profile_choice.from_hint("profil:parent")
        == profile_choice.PARENT
    )


@pytest.mark.parametrize("begin", [BEGIN, ""])
def test_the_page_of_a_confirmed_email_links_to_the_ent(browser: FlaskClient, build: Build, begin: str) -> None:
    """OpenID Connect Core 1.0, 4."""
    ent = build.ent(initiate_login_uri=begin)
    account = build.never_activated()
    activate(browser, account)
    page = submit(browser, browser.get(newest_link(build.settings, account.id)))
    assert heading(page) == "Confirmation de votre adresse mail"
    client = registry.find(ent.client_id)
    assert client
    expected_url = client.entrance(build.settings.issuer)
    assert expected_url.startswith(begin or HOME)
    assert f'href="{expected_url}">Accéder à l’ENT' in unescape(page.get_data(as_text=True))


@pytest.mark.parametrize("home", [HOME, ""])
def test_the_page_after_a_sign_out_links_to_the_home_or_the_initiate_login_uri(
    browser: FlaskClient, build: Build, home: str
) -> None:
    """OpenID Connect Core 1.0, 4. An initiate_login_uri is used only to sign in, and after a sign-out only if the ENT
    has no home page.
    """
    ent = build.ent(initiate_login_uri=BEGIN, home_uri=home)
    page = browser.get("/logout", query_string={"client_id": ent.client_id})
    assert heading(page) == "Vous êtes déconnecté"
    parameters = {"iss": build.settings.issuer, "login_hint": "profil:parent"}
    expected_url = home or f"{BEGIN}?{urlencode(parameters)}"
    assert f'href="{expected_url}">Revenir à' in unescape(page.get_data(as_text=True))
