"""The way of a person through the steps: their order, links from an ENT to this service, a cancel, and the way back."""

import re
import time
from dataclasses import replace
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qsl, quote_plus, urlencode

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp import journey, profile_choice
from idp.accounts.models import Account
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance
from idp.clients import registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.registration import registrations
from idp.sessions.models import Session
from tests.activation.steps import SENT, open_activation
from tests.builders import COLLEGE, LYCEE, PASSWORD, Build
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import posted_answer, step_of, tokens_for
from tests.protocol.test_registration_tokens import changed
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row

SIGN_IN, PROFILE, ELSEWHERE = "Connexion", "Sélectionnez votre profil", "Votre connexion est ailleurs"
LOST = "Reprenons depuis l’ENT"
_LINK = re.compile(r'<a href="([^"]+)">Revenir à (l’[^<]+)</a>')


def way_back(page: TestResponse) -> str:
    [(url, ent)] = _LINK.findall(page.text)
    assert ent == "l’ENT Passerelle"
    return unescape(url)


def of_step(page: TestResponse) -> str:
    """Return the address that a person would type who wants to decline the page that is shown."""
    path, query = page.request.full_path.split("?")
    assert path != "/authorize/refus"
    return f"/authorize/refus?{query}"


def denied(ent: RelyingParty, response: TestResponse, attempt: Attempt) -> None:
    """Check that the answer brings the denial to the client, and nothing beside it."""
    answer = ent.answer(response)  # with the issuer
    assert answer.keys() == {"error", "error_description", "session_state", "state", "iss"}
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)
    assert answer["error_description"] == "the person did not sign in"


def shut(response: TestResponse) -> None:
    """Check that the page says to begin again at the ENT, and leads nowhere by itself."""
    assert (response.status_code, heading(response)) == (400, LOST)
    assert "Location" not in response.headers


@pytest.mark.parametrize(("hint", "title"), [("profil:parent", SIGN_IN), (None, PROFILE)])
def test_a_person_who_cancels_returns_with_access_denied(
    browser: FlaskClient, ent: RelyingParty, hint: str | None, title: str
) -> None:
    # RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6.
    attempt = Attempt(state="é &=%+")
    page = follow(browser, browser.get(ent.url(attempt, login_hint=hint)))
    assert heading(page) == title
    denied(ent, browser.get(way_back(page)), attempt)
    page = follow(browser, browser.get(ent.url(attempt, login_hint=hint, response_mode="form_post")))
    answer = posted_answer(ent, browser.get(way_back(page)))
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)
    assert "code" not in answer


@pytest.mark.parametrize("again", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}], ids=str)
def test_a_cancelled_reauthentication_keeps_the_session(
    browser: FlaskClient, ent: RelyingParty, session: Account, again: dict[str, str | None]
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    tokens, attempt = tokens_for(browser, ent), Attempt()
    page = follow(browser, browser.get(ent.url(attempt, **again)))
    assert heading(page) == SIGN_IN
    denied(ent, browser.get(way_back(page)), attempt)
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
    assert tokens_for(browser, ent, prompt="none")["claims"]["sid"] == tokens["claims"]["sid"]


def test_a_cancel_of_a_started_step_resumes_the_request(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    activation = open_activation(browser, build.never_activated(), ent.url(Attempt()))
    assert step_of(browser.get(of_step(activation))) == "/authorize/resume"
    waiting = sign_in(browser, ent.url(Attempt()), build.unconfirmed().username, PASSWORD)
    assert heading(waiting) == SENT
    assert step_of(browser.get(of_step(waiting))) == "/authorize/resume"


def test_a_cancel_after_the_sign_in_redirects_to_the_ent(
    browser: FlaskClient, ent: RelyingParty, parent: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.5. The browser's Back button shows the page again, and nothing is owed there.
    page = follow(browser, browser.get(ent.url(attempt)))
    submit(browser, page, identifiant=parent.username, mot_de_passe=PASSWORD)
    back = follow(browser, browser.get(way_back(page)))
    assert back.headers["Location"] == "https://ent.test/", "afresh: the ENT has had the answer to this request"


def test_a_repeated_cancel_is_answered_alike_and_a_sign_in_is_still_possible(
    browser: FlaskClient, ent: RelyingParty, parent: Account, attempt: Attempt
) -> None:
    # RFC 9110, 9.2.1.
    page = follow(browser, browser.get(ent.url(attempt)))
    for _ in range(2):
        denied(ent, browser.get(way_back(page)), attempt)
    back = browser.get(page.request.full_path)
    answer = ent.answer(submit(browser, back, identifiant=parent.username, mot_de_passe=PASSWORD))
    ent.tokens(browser, answer["code"], attempt)


@pytest.mark.row("A-22")
def test_an_expired_cancel_link_says_so(app: Flask, browser: FlaskClient, ent: RelyingParty) -> None:
    # OpenID Connect Core 1.0, 3.1.2.3.
    url = way_back(follow(browser, browser.get(ent.url(Attempt()))))
    shut(app.test_client().get(url))
    shut(browser.get("/authorize/refus"))
    with time_machine.travel(time.time() + 20 * 60):  # in another tab: the browser keeps its cookie
        browser.get("/profil")
    with time_machine.travel(time.time() + 31 * 60):
        answer = browser.get(url)
    shut(answer)
    assert 'href="https://ent.test/"' in answer.text


@pytest.mark.row("A-04")
def test_a_cancel_does_not_redirect_to_a_changed_or_disabled_client(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    moved = build.ent(host="moved.test")
    for party in (moved, ent):
        url = way_back(follow(browser, browser.get(party.url(Attempt()))))
        if party is moved:
            changed(moved, redirect_uris=["https://moved.test/other"])
        else:
            registrations.disable(ent.client_id)
        shut(browser.get(url))


def test_a_cancel_before_the_charter_page_records_no_refusal(
    app: Flask, browser: FlaskClient, build: Build, parent: Account
) -> None:
    # RFC 6749, 4.1.2.1.
    ent, attempt = build.ent(charter="provider"), Attempt()
    build.publish(ent, "1")
    url = way_back(follow(browser, browser.get(ent.url(attempt))))
    denied(ent, browser.get(url), attempt)
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    answer = ent.answer(browser.get(url))
    assert (answer["error"], answer["error_description"]) == ("access_denied", "the charter is not accepted")
    assert db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "charter.refused")).all() == []
    charter = follow(browser, browser.get(ent.url(attempt)))
    assert heading(charter) == "Charte ENT"
    assert _LINK.findall(charter.text) == []


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
    # OpenID Connect Core 1.0, 4. The registered query stays as it is.
    url = entrance(build, initiate_login_uri=begin[:-1], home_uri=home)
    assert url.startswith(begin)
    added = parse_qsl(url.removeprefix(begin), strict_parsing=True)
    assert added == [("iss", build.settings.issuer), ("login_hint", "profil:parent"), *target]


@each_row("home", [HOME, ""])
def test_an_ent_that_begins_no_sign_in_is_entered_by_its_home(build: Build, home: str) -> None:
    # OpenID Connect Registration 1.0, 2.
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
    # OpenID Connect Core 1.0, 4: `login_hint`. A code with more than 250 characters is too fine for paper.
    client = registry.find(build.ent(initiate_login_uri=begin, home_uri=HOME).client_id)
    assert client
    issuer = build.settings.issuer
    assert client.short_entrance(issuer) == (url % quote_plus(issuer) if "%s" in url else url)
    assert (
        profile_choice.from_hint("profil:parent:courrier")
        == profile_choice.from_hint("profil:parent")
        == profile_choice.PARENT
    )


@pytest.mark.parametrize("home", [HOME, ""])
def test_the_page_after_a_sign_out_links_to_the_home_or_the_initiate_login_uri(
    browser: FlaskClient, build: Build, home: str
) -> None:
    # OpenID Connect Core 1.0, 4. An initiate_login_uri is used only to sign in, and after a sign-out only if the ENT
    # has no home page.
    ent = build.ent(initiate_login_uri=BEGIN, home_uri=home)
    page = browser.get("/logout", query_string={"client_id": ent.client_id})
    assert heading(page) == "Vous êtes déconnecté"
    parameters = {"iss": build.settings.issuer, "login_hint": "profil:parent"}
    expected_url = home or f"{BEGIN}?{urlencode(parameters)}"
    assert f'href="{expected_url}">Revenir à' in unescape(page.get_data(as_text=True))


def test_each_step_comes_before_those_that_need_it(app: Flask, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The reasons are beside the steps.
    email, session.email = session.email, None
    db.session.commit()
    foreign, own = registered(build, "lycee.test", LYCEE), registered(build, "ent.test", COLLEGE)
    signed_in = db.session.scalars(select(Session)).one()
    owes_all = journey.State(
        client=foreign,
        session=None,
        account=None,
        profile="",
        prompts=frozenset({"login", "consent"}),
        max_age=None,
        acr=None,
        agreed=False,
        may_be_another=True,
        started_at=now() + timedelta(seconds=1),
        now=now(),
        mail_required=True,
        is_activating=True,
    )

    assert page_of(owes_all) == "activation.activate"
    activated = replace(owes_all, session=signed_in, account=session, is_activating=False)
    assert page_of(activated) == "profile_choice.choose"
    assert page_of(replace(activated, profile="eleve")) == "profile_choice.elsewhere"
    parent = replace(activated, profile="parent")
    assert page_of(parent) == "login.sign_in", "the steps of an account are those of whoever signs in"
    assert page_of(replace(parent, prompts=frozenset({"consent"}))) == "oidc.is_it_you"
    fresh = replace(parent, started_at=signed_in.auth_time)
    assert page_of(fresh) == "email_confirmation.waiting"
    session.email = email
    db.session.commit()
    assert page_of(fresh) == "oidc.not_this_ent"
    known = replace(fresh, client=own)
    assert page_of(known) == "charter.show"
    db.session.add(CharterAcceptance(account_id=session.id, charter_version_id=own.charter_version_id))
    db.session.commit()
    assert page_of(known) == "oidc.agree"
    assert page_of(replace(known, agreed=True)) is None


def registered(build: Build, host: str, uai: str) -> Registration:
    ent = build.ent(host, host, charter="provider", uais=[uai])
    build.publish(ent, "2026")
    registration = registry.find(ent.client_id, fresh=True)
    assert registration is not None
    return registration


def page_of(state: journey.State) -> str | None:
    step = journey.next_step(state)
    return step.endpoint if step else None
