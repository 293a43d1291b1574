"""The authorization endpoint's responses, and parameters that change none (security rows A-19, A-23 to A-26)."""

import json
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import code_for, stays_here, step_of
from tests.relying_party import Attempt, RelyingParty


@pytest.mark.row("A-19")
def test_a_scope_that_is_not_the_client_s_is_refused_not_dropped(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    """RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.1."""
    ent = build.ent(scopes="openid email")
    heap = " ".join(["openid", *(f"s{i}" for i in range(1000))])
    for scope in (
        "profile",
        "email",
        "openid profile",
        "openid groups profile",
        "openid offline_access",
        "openid address",
        "",
        "OPENID",
        heap,
    ):
        assert ent.answer(browser.get(ent.url(Attempt(), scope=scope)))["error"] == "invalid_scope", scope[:40]
    attempt = Attempt()
    tokens = ent.tokens(browser, code_for(browser, ent, attempt, scope="email  openid email"), attempt)
    assert tokens["scope"].split() == ["email", "openid"]


def led_back_to(page: TestResponse) -> list[str]:
    return re.findall(r'class="btn" href="([^"]+)"', page.text)


@pytest.mark.row("A-02")
def test_an_error_page_links_to_the_registered_home_of_a_known_client(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    """RFC 6749, 4.1.2.1."""
    homeless = build.ent("Horizon", "horizon.test", home_uri="")
    for changes, homes in (
        ({"redirect_uri": "https://evil.test/cb"}, ["https://ent.test/"]),
        ({"redirect_uri": "https://evil.test/cb", "client_id": homeless.client_id}, ["/mon-ent"]),
        ({"redirect_uri": "https://evil.test/cb", "client_id": "nobody"}, ["/mon-ent"]),
    ):
        page = browser.get(ent.url(Attempt(), **changes))
        assert led_back_to(page) == homes, changes
        assert "evil.test" not in stays_here(page)
    doubled = browser.get(f"{ent.url(Attempt())}&client_id={homeless.client_id}")
    assert led_back_to(doubled) == ["/mon-ent"]
    assert "doubled client_id" in stays_here(doubled)


@pytest.mark.row("A-23")
def test_no_page_can_be_framed_read_by_others_or_kept(browser: FlaskClient, ent: RelyingParty) -> None:
    """RFC 9700, 4.16, 4.2.4."""
    pages = [
        follow(browser, browser.get(ent.url(Attempt()))),
        browser.get(ent.url(Attempt(), client_id="nobody")),
        browser.get("/authorize/resume?demande=x"),
        browser.get("/logout"),
    ]
    for page in pages:
        assert page.mimetype == "text/html"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.row("A-24")
def test_the_answer_to_a_password_is_a_303(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    """RFC 9700, 4.12."""
    page = follow(browser, browser.get(ent.url(Attempt())))
    data = {"csrf_token": form_token(page), "identifiant": parent.username, "mot-de-passe": PASSWORD}
    response = browser.post(page.request.full_path, data=data)
    while response.headers["Location"].startswith("/"):
        assert response.status_code == 303
        response = browser.get(response.headers["Location"])
    assert response.status_code == 303
    assert ent.answer(response)["code"]


@pytest.mark.row("A-25")
def test_the_sign_in_page_explains_a_reauthentication_only(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.1."""
    why = "Le compte de <b><bdi>Noémie L.</bdi></b> est déjà connecté. Pour continuer vers l’ENT Passerelle, redonnez"
    again: list[dict[str, str]] = [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}]
    for changes in again:
        page = follow(browser, browser.get(ent.url(Attempt(), **changes)))
        assert heading(page) == "Connexion"
        assert why in page.text, changes
        assert why not in submit(browser, page, identifiant="x", mot_de_passe="y").text  # the page names the error
    for page in (
        browser.get("/connexion?compte=autre"),  # no request of an ENT
        follow(app.test_client(), app.test_client().get(ent.url(Attempt(), prompt="login"))),
    ):
        assert "déjà connecté" not in page.text


@pytest.mark.row("A-25")
def test_unknown_optional_parameters_are_no_error(
    browser: FlaskClient, build: Build, ent: RelyingParty, parent: Account, attempt: Attempt
) -> None:
    """OpenID Connect Core 1.0, 15.1."""
    wishes = {
        "ui_locales": "de fr-CA xx-%",
        "claims_locales": "fr",
        "display": "popup",
        "acr_values": "urn:none other",
        "foo": "bar",
        "login_hint": "<script>alert(1)</script>",
    }
    first = browser.get(ent.url(attempt, **wishes))
    assert step_of(first) == "/profil"  # the hint names no profile
    for_parents = build.ent("Horizon", "horizon.test", default_profile="parent")
    page = follow(browser, browser.get(for_parents.url(Attempt(), **wishes))).get_data(as_text=True)
    assert 'value="&lt;script&gt;alert(1)&lt;/script&gt;"' in page  # pre-filled and escaped
    assert "<script>alert" not in page
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert ent.answer(browser.get(ent.url(attempt, **wishes)))["code"]


@pytest.mark.row("A-26")
def test_the_claims_parameter_changes_no_reserved_claim(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    """OpenID Connect Core 1.0, 5.5.1."""
    hostile = {"id_token": {"iss": {"value": "https://evil.test"}, "aud": {"value": "evil"}, "exp": {"value": 9}}}
    honest = ent.tokens(browser, code_for(browser, ent, attempt, claims=json.dumps(hostile)), attempt)
    for claims_request, error in (
        ({"id_token": {"sub": {"value": "other"}}}, "login_required"),
        ({"id_token": {"sub": {"values": ["other", "another"]}}}, "login_required"),
        ({"userinfo": {"sub": {"value": "other"}}}, "login_required"),
        ({"id_token": {"sub": {"value": honest["claims"]["sub"]}}}, None),
        ({"id_token": {"sub": {"values": ["other", honest["claims"]["sub"]]}}}, None),
        ({"id_token": {"sub": {"value": honest["claims"]["sub"], "values": ["other"]}}}, "invalid_request"),
        ({"id_token": {"sub": {"values": []}}}, "invalid_request"),
        ({"id_token": {"sub": {"value": ""}}}, "invalid_request"),
        ({"id_token": {"sub": {"value": 7}}}, "invalid_request"),
        ({"id_token": {"sub": None}}, None),
    ):
        answer = ent.answer(browser.get(ent.url(attempt, claims=json.dumps(claims_request))))
        assert answer.get("error") == error, claims_request
    reserved = {name: {"value": "x"} for name in honest["claims"]}
    del reserved["sub"], reserved["acr"]
    both = json.dumps({"id_token": reserved, "userinfo": reserved})
    again = ent.tokens(browser, code_for(browser, ent, attempt, claims=both), attempt)
    assert again["claims"].keys() == honest["claims"].keys()
    info = ent.userinfo(browser, again["access_token"]).get_json()
    assert info == ent.userinfo(browser, honest["access_token"]).get_json()
