"""An ENT gets data of its own families only: each way of asking, and each way in which a tie ends."""

import re
from dataclasses import replace
from datetime import datetime
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts.models import Account, Guardianship
from idp.clock import now
from idp.db import db
from idp.registration import registrations, rows
from tests.builders import LYCEE, PASSWORD, Build, change_registration, commit
from tests.closed import dispute, settle_dispute
from tests.pages import follow, heading, submit
from tests.protocol.flow import OFFLINE, code_for, posted_answer, refused, step_of, tokens_for
from tests.relying_party import Attempt, RelyingParty

NOT_THIS_ENT = "Vos enfants ne sont pas dans cet ENT"
PAGE = "/authorize/autre-ent"


def end(account: Account) -> None:
    _set(account, ended_at=now())


def _set(account: Account, **values: datetime | None) -> None:
    commit(update(Guardianship).where(Guardianship.account_id == account.id).values(**values))


@pytest.fixture
def foreign(build: Build) -> RelyingParty:
    return build.ent("Horizon", "horizon.test", uais=[LYCEE], scopes=OFFLINE)


@pytest.fixture
def own(build: Build) -> RelyingParty:
    return build.ent(scopes=OFFLINE, initiate_login_uri="https://ent.test/login")


def introspected(browser: FlaskClient, ent: RelyingParty, token: str) -> dict[str, Any]:
    return dict(browser.post("/introspect", data={"token": token}, headers=ent.basic()).get_json())


@pytest.mark.row("A-27")
def test_a_foreign_ent_gets_no_code(
    browser: FlaskClient, own: RelyingParty, foreign: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. Own rule: the school decides, and its decision applies to its own ENT
    # only.
    answer = browser.get(foreign.url(Attempt()))
    assert step_of(answer) == PAGE
    page = follow(browser, answer)
    text = page.get_data(as_text=True)
    assert (page.status_code, heading(page)) == (200, NOT_THIS_ENT)
    assert "Collège des Tilleuls" in text
    assert "https://ent.test/login?iss=" in text, "the way to the ENT of the child's school"
    assert "Lycée" not in text
    assert "Ni votre nom ni votre adresse ne sont envoyés à l’ENT" in text
    assert code_for(browser, own, Attempt()), "their own ENT is entered by the same session"


@pytest.mark.row("A-27")
@pytest.mark.parametrize("mode", [None, "form_post"])
def test_without_a_page_a_foreign_ent_gets_access_denied(
    browser: FlaskClient, foreign: RelyingParty, session: Account, mode: str | None, attempt: Attempt
) -> None:
    # RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.1.
    response = browser.get(foreign.url(attempt, prompt="none", response_mode=mode))
    answer = posted_answer(foreign, response) if mode else foreign.answer(response)
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)
    assert "code" not in answer
    assert answer.keys() <= {"error", "state", "iss", "session_state"}, "nothing more is told"


def test_the_person_goes_back_to_the_ent_with_access_denied(
    browser: FlaskClient, foreign: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 4.1.2.1.
    page = follow(browser, browser.get(foreign.url(attempt)))
    [back] = [link for link in _links(page) if link.startswith("/authorize/refus")]
    answer = foreign.answer(browser.get(back))
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)


def test_another_person_signs_in_for_the_same_request(
    browser: FlaskClient, build: Build, foreign: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1. « Changer de compte » is for computers that a family shares.
    other = build.active(email="karim@exemple.fr", children=[build.child("Inès", uai=LYCEE)])
    attempt = Attempt()
    page = follow(browser, browser.get(foreign.url(attempt)))
    [change] = [link for link in _links(page) if link.startswith("/connexion")]
    shown = browser.get(change)
    assert heading(shown) == "Connexion"
    assert "Le compte de <b><bdi>Noémie L.</bdi></b> est connecté dans ce navigateur" in shown.text
    assert "Vous êtes une autre personne ? Tapez votre identifiant" in shown.text.replace("\u202f", " ").replace(
        "\u00a0", " "
    )
    assert "redonnez" not in shown.text
    answer = submit(browser, shown, identifiant=other.username, mot_de_passe=PASSWORD)
    tokens = foreign.tokens(browser, foreign.answer(answer)["code"], attempt)
    assert foreign.userinfo(browser, tokens["access_token"]).get_json()["email"] == "karim@exemple.fr"


def test_the_page_redirects_to_the_ent_once_the_person_may_enter(
    browser: FlaskClient, build: Build, foreign: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.5. The page is not shown again once the school's file has a child.
    location = browser.get(foreign.url(attempt)).headers["Location"]
    db.session.add(Guardianship(account_id=session.id, child_id=build.child(uai=LYCEE).id, rank=1))
    db.session.commit()
    assert foreign.answer(follow(browser, browser.get(location)))["code"]


def test_a_person_without_children_is_told_so(
    browser: FlaskClient, build: Build, own: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The page names the school to contact.
    end(session)
    page = follow(browser, browser.get(own.url(Attempt())))
    assert heading(page) == NOT_THIS_ENT
    assert "aucun enfant n’est relié à votre compte" in page.get_data(as_text=True)
    assert "Collège des Tilleuls" not in page.get_data(as_text=True)
    school = build.school()
    school.phone = "03 99 00 12 34"
    account = db.session.get(Account, session.id)
    assert account is not None
    account.letter_school_id = school.id
    db.session.commit()
    text = follow(browser, browser.get(own.url(Attempt()))).get_data(as_text=True)
    assert "Collège des Tilleuls" in text
    assert 'href="tel:+33399001234"' in text


def test_a_school_without_an_ent_is_named(browser: FlaskClient, foreign: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4.
    text = follow(browser, browser.get(foreign.url(Attempt()))).get_data(as_text=True)
    assert "Collège des Tilleuls" in text
    assert "Aucun ENT n’est relié à ce service pour cet établissement" in text


@pytest.mark.row("A-27")
def test_a_parent_whose_tie_ended_gets_no_code_and_the_tokens_are_refused(
    browser: FlaskClient, own: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4; RFC 6749, 5.2; RFC 6750, 3.1; RFC 7662, 2.2.
    tokens = tokens_for(browser, own, scope=OFFLINE)
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    assert introspected(browser, own, access)["active"] is True
    end(session)
    assert own.answer(browser.get(own.url(Attempt(), prompt="none")))["error"] == "access_denied"
    assert heading(follow(browser, browser.get(own.url(Attempt())))) == NOT_THIS_ENT
    answer = own.userinfo(browser, access)
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")
    charter = browser.get("/charter", headers={"Authorization": f"Bearer {access}"})
    assert (charter.status_code, charter.get_json()["error"]) == (401, "invalid_token")
    assert introspected(browser, own, access) == {"active": False}
    assert introspected(browser, own, refresh) == {"active": False}
    refused(own.refresh(browser, refresh), "invalid_grant")


def test_a_dispute_that_is_rejected_lets_the_ent_go_on(
    browser: FlaskClient, own: RelyingParty, session: Account
) -> None:
    # RFC 6749, 1.5.
    tokens = tokens_for(browser, own, scope=OFFLINE)
    dispute(session.id)
    refused(own.refresh(browser, tokens["refresh_token"]), "invalid_grant")
    settle_dispute(session.id)
    assert own.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_a_client_that_no_longer_serves_a_school_loses_its_tokens(
    app: Flask, browser: FlaskClient, build: Build, own: RelyingParty, session: Account
) -> None:
    # RFC 6749, 5.2. A client that no longer serves the school loses its tokens.
    tokens = tokens_for(browser, own, scope=OFFLINE)
    row = registrations.get(own.client_id)
    change_registration(build.settings, row, replace(rows.read(row), uais=[LYCEE]))
    assert own.userinfo(browser, tokens["access_token"]).status_code == 401
    refused(own.refresh(browser, tokens["refresh_token"]), "invalid_grant")


@pytest.mark.row("A-27")
def test_a_service_for_everyone_accepts_everybody(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.3.
    everyone = build.ent("Cantines", "cantines.test", uais=[], audience="everyone", scopes=OFFLINE)
    tokens = tokens_for(browser, everyone, scope=OFFLINE)
    info = everyone.userinfo(browser, tokens["access_token"]).get_json()
    assert info["email"] == session.email
    assert "children" not in info
    assert introspected(browser, everyone, tokens["access_token"])["active"] is True
    end(session)
    assert everyone.userinfo(browser, tokens["access_token"]).status_code == 200
    assert everyone.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_the_identifier_is_released_to_clients_registered_for_it(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.
    claims_request = '{"userinfo":{"preferred_username":{"essential":true}},"id_token":{"preferred_username":null}}'
    for host, release in (("ent.test", False), ("moodle.test", True)):
        ent = build.ent(f"ENT {host}", host, release_username=release)
        by_scope = tokens_for(browser, ent)
        by_claims = tokens_for(browser, ent, scope="openid", claims=claims_request)
        identifiers = [
            "preferred_username" in ent.userinfo(browser, by_scope["access_token"]).get_json(),
            "preferred_username" in ent.userinfo(browser, by_claims["access_token"]).get_json(),
            "preferred_username" in by_claims["claims"],
        ]
        assert identifiers == [release] * 3, host
    assert "preferred_username" in browser.get("/.well-known/openid-configuration").get_json()["claims_supported"]


def test_the_page_of_consent_names_the_identifier_where_it_is_released(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4.
    for host, release in (("ent.test", False), ("moodle.test", True)):
        ent = build.ent(f"ENT {host}", host, release_username=release)
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
        assert heading(page) == "Ce que l’ENT va recevoir"
        assert ("l’identifiant avec lequel vous vous connectez" in page.get_data(as_text=True)) is release


def _links(page: TestResponse) -> list[str]:
    return [unescape(link) for link in re.findall(r'href="([^"]+)"', page.get_data(as_text=True))]
