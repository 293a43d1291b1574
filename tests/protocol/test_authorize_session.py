"""The authorization endpoint and the session it finds (security rows A-15 to A-22)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.oidc.keys import rotation
from idp.oidc.tokens import issued
from idp.services import services_of
from idp.sessions.models import Session
from tests.builders import PASSWORD, Build
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import HOST, stays_here, step_of, tokens_for
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row


@pytest.mark.row("A-15")
def test_prompt_none_without_a_session_is_login_required(
    browser: FlaskClient, ent: RelyingParty, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    for hint in ("profil:parent", None):
        answer = ent.answer(browser.get(ent.url(attempt, prompt="none", login_hint=hint)))
        assert (answer["error"], answer["state"]) == ("login_required", attempt.state)


@pytest.mark.row("A-15", "C-01")
def test_prompt_none_with_a_step_pending_names_it(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    ent = build.ent(charter="provider")
    build.publish(ent, "2026")
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "consent_required"
    session.email = None
    db.session.commit()
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "interaction_required"


@pytest.mark.row("A-16")
def test_max_age_asks_the_password_again_and_renews_auth_time(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    long_ago = datetime.now(UTC) - timedelta(minutes=10)
    with time_machine.travel(long_ago, tick=False):
        sign_in(browser, "/connexion", parent.username, PASSWORD)
    first = tokens_for(browser, ent, max_age="900")["claims"]
    assert first["auth_time"] == int(long_ago.timestamp())
    for age in ("0", "1"):
        attempt = Attempt()
        assert ent.answer(browser.get(ent.url(attempt, max_age=age, prompt="none")))["error"] == "login_required"
        response = sign_in(browser, ent.url(attempt, max_age=age), parent.username, PASSWORD)
        claims = ent.tokens(browser, ent.answer(response)["code"], attempt)["claims"]
        assert claims["auth_time"] >= first["auth_time"] + 600
        with db.session.begin():
            db.session.scalars(select(Session).where(Session.ended_at.is_(None))).one().auth_time = long_ago


@pytest.mark.row("A-16")
def test_the_registered_default_max_age_applies_without_max_age(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Registration 1.0, 2.
    ent = build.ent(default_max_age=60)
    assert tokens_for(browser, ent)["claims"]["auth_time"]
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=61)):
        assert step_of(browser.get(ent.url(Attempt()))) == "/connexion"
        assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"
        assert tokens_for(browser, ent, max_age="3600")["claims"]["auth_time"]
    at_once = build.ent("Horizon", "horizon.test", default_max_age=0)
    assert step_of(browser.get(at_once.url(Attempt()))) == "/connexion"


@pytest.mark.row("A-16")
@each_row("age", ["abc", "-1", "1.5", "٣", "1e3", "9" * 20, "+1", " 1"])
def test_a_max_age_that_is_no_number_of_seconds_is_refused(browser: FlaskClient, ent: RelyingParty, age: str) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    assert ent.answer(browser.get(ent.url(Attempt(), max_age=age)))["error"] == "invalid_request"


@pytest.mark.row("A-17")
@pytest.mark.parametrize("prompt", ["login", "login select_account"])
def test_prompt_login_lets_another_person_in_and_ends_the_first_session(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account, prompt: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1; CVE-2025-12390.
    before, attempt, other = tokens_for(browser, ent), Attempt(), build.active()
    page = sign_in(browser, ent.url(attempt, prompt=prompt), other.username, PASSWORD)
    after = ent.tokens(browser, ent.answer(page)["code"], attempt)
    assert after["claims"]["sub"] != before["claims"]["sub"]
    assert after["claims"]["sid"] != before["claims"]["sid"]
    alive = db.session.scalars(select(Session.account_id).where(Session.ended_at.is_(None))).all()
    assert alive == [other.id]
    assert ent.userinfo(browser, before["access_token"]).status_code == 401
    assert tokens_for(browser, ent)["claims"]["sub"] == after["claims"]["sub"]


@pytest.mark.row("A-18")
def test_a_hint_of_another_person_is_login_required(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    own, others, other = tokens_for(browser, ent)["id_token"], app.test_client(), build.active()
    sign_in(others, "/connexion", other.username, PASSWORD)
    foreign = tokens_for(others, ent)["id_token"]
    for prompt in ("none", None):
        answer = ent.answer(browser.get(ent.url(Attempt(), prompt=prompt, id_token_hint=foreign)))
        assert answer["error"] == "login_required"
        assert "code" not in answer
        assert ent.answer(browser.get(ent.url(Attempt(), prompt=prompt, id_token_hint=own)))["code"]


@pytest.mark.row("A-18")
def test_a_hint_may_be_met_by_signing_in(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.2.
    hint, other = tokens_for(browser, ent)["id_token"], build.active()
    for person, error in ((session, None), (other, "login_required")):
        fresh = app.test_client()
        page = sign_in(fresh, ent.url(Attempt(), id_token_hint=hint), person.username, PASSWORD)
        assert ent.answer(page).get("error") == error
    claims = f'{{"id_token":{{"sub":{{"value":"{"x" * 43}"}}}}}}'
    answer = ent.answer(browser.get(ent.url(Attempt(), id_token_hint=hint, claims=claims)))
    assert answer["error"] == "invalid_request"


@pytest.mark.row("A-20")
def test_a_post_from_another_site_is_resumed_by_get(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    attempt = Attempt(state="a b&c=é%")
    query = ent.url(attempt).partition("?")[2]
    form = {"data": query, "content_type": "application/x-www-form-urlencoded"}
    response = app.test_client().post("/authorize", **form)  # SameSite=Lax: no cookie comes with it
    assert (response.status_code, response.headers["Location"]) == (303, f"/authorize?{query}")
    answer = ent.answer(browser.get(response.headers["Location"]))
    assert answer["state"] == attempt.state
    assert answer["code"]


@pytest.mark.row("A-20")
def test_a_post_that_is_too_long_for_an_address_leads_to_the_sign_in(
    app: Flask, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    query = ent.url(Attempt(), claims=f'{{"x":"{"y" * 2900}"}}', state="é" * 700).partition("?")[2]
    assert len(query) > 6000
    browser = app.test_client()
    form: dict[str, Any] = {"data": query, "content_type": "application/x-www-form-urlencoded"}
    page = follow(browser, browser.post("/authorize", **form))
    assert heading(page) == "Connexion"
    answer = ent.answer(submit(browser, page, identifiant=session.username, mot_de_passe=PASSWORD))
    assert answer["state"] == "é" * 700
    assert "code" in answer


@pytest.mark.row("A-20")
def test_a_post_of_another_content_type_is_refused(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    query = ent.url(Attempt()).partition("?")[2]
    for kind, body, place in (
        ("application/json", query, "/authorize"),
        ("text/plain", query, "/authorize"),
        ("application/x-www-form-urlencoded", "", f"/authorize?{query}"),
    ):
        response = follow(browser, browser.post(place, data=body, content_type=kind))
        assert "invalid client_id" in stays_here(response), kind


@pytest.mark.row("A-20")
def test_a_request_too_long_for_a_url_is_refused(app: Flask, ent: RelyingParty) -> None:
    # RFC 9110, 4.1. Beyond that, the steps could not carry the request.
    attempt = Attempt(state="".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(4000)))
    query = ent.url(attempt).partition("?")[2]
    response = app.test_client().post("/authorize", data=query, content_type="application/x-www-form-urlencoded")
    answer = ent.answer(response)
    assert (answer["error"], answer["state"]) == ("invalid_request", attempt.state)


@pytest.mark.row("A-22")
def test_a_continuation_opens_in_the_browser_that_started_it_alone(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.3.
    attacker = app.test_client()
    signed = browser.get(ent.url(Attempt(), prompt="login")).headers["Location"].partition("?")[2]
    started = attacker.get(ent.url(Attempt())).headers["Location"].partition("?")[2]
    for path in ("/authorize/resume", "/connexion", "/profil", "/charte", "/authorize/refus"):
        for stranger, value in ((browser, started), (attacker, signed), (app.test_client(), signed)):
            response = stranger.get(f"{path}?{value}")
            assert response.status_code == 400, path
            assert "Location" not in response.headers
    bent = signed[:-3] + ("AAA" if not signed.endswith("AAA") else "BBB")
    assert browser.get(f"/authorize/resume?{bent}").status_code == 400
    assert browser.get(f"/connexion?{signed}").status_code == 200
    browser.delete_cookie("__Host-tx", domain=HOST)
    assert browser.get(f"/connexion?{signed}").status_code == 400


@pytest.mark.row("A-18")
def test_a_hint_is_accepted_for_its_own_client_only(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.2.
    other = build.ent("Horizon", "horizon.test", subject="public")
    token = tokens_for(browser, other)["id_token"]
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"
    assert other.answer(browser.get(other.url(Attempt(), id_token_hint=token)))["code"]


@pytest.mark.row("A-18")
def test_a_hint_signed_by_a_retired_key_is_refused(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.2.
    token = tokens_for(browser, ent)["id_token"]
    [jwk] = browser.get("/jwks.json").get_json()["keys"]
    rotation.rotate(build.settings, at_once=True)
    services_of(app).server.ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["code"]
    assert rotation.retire(jwk["kid"])
    services_of(app).server.ring.forget()
    assert ent.answer(browser.get(ent.url(Attempt(), id_token_hint=token)))["error"] == "invalid_request"


@pytest.mark.row("X-02")
@pytest.mark.parametrize("missing", ["sub", "sid"])
def test_a_token_of_another_type_is_refused_as_a_hint(app: Flask, build: Build, missing: str) -> None:
    # RFC 8725, 3.12.
    server = services_of(app).server
    signer = server.ring.signer("RS256")
    claims: dict[str, object] = {"iss": build.settings.issuer, "sub": "a", "sid": "b", "aud": "c"}

    def read(changed: dict[str, object], typ: str = "JWT") -> object:
        token = jwt.encode({"alg": "RS256", "kid": signer.kid, "typ": typ}, changed, signer.key)
        return issued.read_id_token(build.settings, server.ring, token)

    assert read(claims) == claims
    assert read({name: value for name, value in claims.items() if name != missing}) is None
    assert read({**claims, missing: 7}) is None
    assert read({**claims, "iss": f"{build.settings.issuer}/"}) is None
    assert read(claims, typ="logout+jwt") is None
