"""`prompt=consent`: the person is asked before the client gets data (security row A-15)."""

import json

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.clients import released
from idp.oidc.claims.release import SCOPES
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, step_of
from tests.relying_party import Attempt, RelyingParty

HEADING = "Ce que l’ENT va recevoir"


@pytest.mark.row("A-15")
def test_prompt_consent_asks_first_and_each_time(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for _ in range(2):
        attempt = Attempt()
        response = browser.get(ent.url(attempt, prompt="consent"))
        assert step_of(response) == "/authorize/accord"
        page = follow(browser, response)
        assert heading(page) == HEADING
        assert "Mme Noémie LEROY-VANDEPUTTE" in page.text
        ent.tokens(browser, ent.answer(submit(browser, page))["code"], attempt)


@pytest.mark.row("A-15")
def test_a_person_who_declines_returns_with_access_denied(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6; RFC 6749, 4.1.2.1.
    page = follow(browser, browser.get(ent.url(attempt, prompt="consent")))
    answer = ent.answer(browser.get(page.request.full_path.replace("/authorize/accord?", "/authorize/refus?")))
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)


@pytest.mark.row("A-15")
def test_prompts_may_be_combined_but_with_none(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for prompt in ("login consent", "consent select_account login"):
        page = sign_in(browser, ent.url(Attempt(), prompt=prompt), session.username, PASSWORD)
        assert heading(page) == HEADING
        assert ent.answer(submit(browser, page))["code"]
    for prompt in ("none consent", "none login", "none none login", "create", "NONE", "consent,login"):
        assert ent.answer(browser.get(ent.url(Attempt(), prompt=prompt)))["error"] == "invalid_request", prompt


@pytest.mark.row("A-15")
def test_the_charter_comes_before_and_is_not_asked_again(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4.
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    assert heading(page) == "Charte ENT"
    page = submit(browser, page, accepte="y", version="1")
    assert heading(page) == HEADING
    assert ent.answer(submit(browser, page))["code"]


@pytest.mark.row("A-15")
def test_an_agreement_is_one_person_s_and_one_request_s(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The next person in the same browser is asked again.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    data = {"csrf_token": form_token(page)}
    agreed = browser.post(page.request.full_path, data=data).headers["Location"]
    other = build.active()
    sign_in(browser, "/connexion", other.username, PASSWORD)
    assert step_of(browser.get(agreed)) == "/authorize/accord"
    assert step_of(browser.get(ent.url(Attempt(), prompt="consent"))) == "/authorize/accord"
    assert app.test_client().get(agreed).status_code == 400


@pytest.mark.row("A-15")
@pytest.mark.parametrize("touched", [True, False])
def test_the_consent_page_asks_for_the_sign_in_after_a_sign_out_in_another_tab(
    browser: FlaskClient, ent: RelyingParty, session: Account, *, touched: bool
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. Consent needs a session; after a new sign-in the person is asked again.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    submit(browser, browser.get("/logout"))
    url = page.request.full_path
    data = {"csrf_token": form_token(page)}
    answer = browser.post(url, data=data) if touched else browser.get(url)
    assert step_of(answer) == "/authorize/resume"
    again = follow(browser, answer)
    assert heading(again) == "Connexion"
    consent_page = submit(browser, again, identifiant=session.username, mot_de_passe=PASSWORD)
    assert heading(consent_page) == HEADING
    assert ent.answer(submit(browser, consent_page))["code"]


@pytest.mark.row("A-15")
def test_the_form_of_another_site_agrees_to_nothing(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.3.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    for data in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 60}):
        response = browser.post(page.request.full_path, data=data)
        assert response.status_code == 400
        assert heading(response) == "Cette page est restée ouverte trop longtemps"


@pytest.mark.row("A-15")
def test_the_page_says_what_is_asked_for_and_no_more(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4, 17.1.
    ent = build.ent(scopes="openid profile email address phone ent offline_access", always_claims=["charter"])

    def fetch_page_text(scope: str, claims: dict[str, object] | None = None) -> str:
        claims_request = json.dumps(claims) if claims else None
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent", scope=scope, claims=claims_request)))
        assert heading(page) == HEADING
        return page.text

    assert "adresse mail" not in fetch_page_text("openid profile")
    assert "votre adresse mail confirmée" in fetch_page_text("openid email")
    assert "votre adresse mail confirmée" in fetch_page_text("openid", {"id_token": {"email": None}})
    assert "votre adresse postale" in fetch_page_text("openid", {"userinfo": {"address": {"essential": True}}})
    assert "si vous avez accepté sa charte" in fetch_page_text("openid")
    assert "aussi après votre visite" in fetch_page_text("openid offline_access")


def test_every_scope_has_its_words(app: Flask) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. Only data is released that the page of `prompt=consent` and « Mes données dans
    # les ENT » list.
    always = [str(sentence) for sentence in released.sentences_of([], username=False, child=True)]
    for scope in SCOPES:
        sentences = [str(sentence) for sentence in released.sentences_of([scope], username=False, child=True)]
        assert len(sentences) == len(always) + (scope != "openid"), scope


def test_the_consent_page_names_the_children_only_if_they_are_released(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4: "an interactive dialogue with the End-User that makes it clear what is being
    # consented to": a service for everyone serves no school, so that UserInfo tells it of no child.
    service = build.ent("Cantines", "cantines.test", uais=[], audience="everyone")
    page = follow(browser, browser.get(service.url(Attempt(), prompt="consent")))
    assert "que vous êtes parent" in page.text
    assert "enfants" not in page.text
    page = follow(browser, browser.get(build.ent().url(Attempt(), prompt="consent")))
    assert "pour chacun de vos enfants" in page.text


@pytest.mark.row("T-17")
def test_the_consent_is_also_for_offline_access(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 11.
    ent, attempt = build.ent(scopes=OFFLINE), Attempt()
    page = follow(browser, browser.get(ent.url(attempt, prompt="consent", scope=OFFLINE)))
    assert ent.tokens(browser, ent.answer(submit(browser, page))["code"], attempt)["refresh_token"]
