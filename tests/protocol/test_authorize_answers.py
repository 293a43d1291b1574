"""The authorization endpoint's responses, error pages, and parameters without effect (A-03, A-19, A-23 to A-26)."""

import json
import re
from html import unescape

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import languages
from idp.accounts.models import Account
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, heading, submit
from tests.protocol.flow import code_for, stays_here
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row


@pytest.mark.row("A-19")
def test_a_scope_that_is_not_the_client_s_is_refused_not_dropped(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.1.
    ent = build.ent(scopes="openid email")
    for scope in (
        "profile",
        "email",
        "openid profile",
        "openid groups profile",
        "openid offline_access",
        "openid address",
        "",
        "OPENID",
        " ".join(["openid", *(f"s{i}" for i in range(1000))]),
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
    # RFC 6749, 4.1.2.1.
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


@pytest.mark.row("A-24")
def test_the_answer_to_a_password_is_a_303(browser: FlaskClient, ent: RelyingParty, parent: Account) -> None:
    # RFC 9700, 4.12.
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
    # OpenID Connect Core 1.0, 3.1.2.1.
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


@pytest.mark.row("A-26")
def test_the_claims_parameter_changes_no_reserved_claim(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.
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


_LANGUAGE = re.compile(r'<html lang="([^"]+)"')


@pytest.fixture
def two_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en"))


def language(page: TestResponse) -> str:
    match = _LANGUAGE.search(page.get_data(as_text=True))
    assert match
    return match[1]


@pytest.mark.row("A-25")
def test_the_language_that_is_asked_for_holds_through_the_steps(
    two_languages: None, browser: FlaskClient, build: Build, parent: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    ent = build.ent(charter="provider")
    build.publish(ent, "1")
    page = follow(browser, browser.get(ent.url(Attempt(), ui_locales="xx-% de en-GB fr", login_hint=None)))
    steps = []
    for fields in ({"profil": "parent"}, {"identifiant": parent.username, "mot_de_passe": PASSWORD}, {"accepte": "y"}):
        steps.append((page.request.path, language(page)))
        page = submit(browser, page, **fields, **({"version": "1"} if "accepte" in fields else {}))
    assert steps == [("/profil", "en"), ("/connexion", "en"), ("/charte", "en")]
    assert ent.answer(page)["code"]


@pytest.mark.row("A-25")
@each_row("tags", ["de", "", "x" * 5000, "é %00 -- _ fr_", "ko-Hang-KR", "i-klingon", "fr-u-co-phonebk"])
def test_a_language_that_is_not_there_is_no_error(
    browser: FlaskClient, ent: RelyingParty, session: Account, tags: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for name in ("ui_locales", "claims_locales"):
        assert ent.answer(browser.get(ent.url(Attempt(), **{name: tags})))["code"]
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="login", **{name: tags})))
        assert (heading(page), language(page)) == ("Connexion", "fr")


def test_parameters_with_names_of_flask_stay_in_the_language_link(app: Flask) -> None:
    # RFC 6749, 3.1. The framework uses these names of unknown parameters itself.
    odd = "endpoint=x&_external=1&_scheme=ftp&_method=PUT&_anchor=a&self=b&demande=c&prompt=none&prompt=login"
    with app.test_request_context(f"/connexion?{odd}"):
        assert unescape(render_template_string("{{ language_url('fr') }}")) == f"?{odd}&langue=fr"


SENTENCES = {
    "client": "Ce service ne connaît pas le site d’où vous venez, ou ne l’accepte plus.",
    "redirect_uri": "L’adresse où vous deviez revenir n’est pas enregistrée ici.",
    "none": "Le site d’où vous venez ne nous a pas dit où vous ramener.",
    "request": "Le site d’où vous venez a envoyé une demande que nous ne pouvons pas lire.",
}


@pytest.mark.row("A-04", "A-03")
@each_row(
    ("changes", "sentence", "phrase"),
    [
        ({"redirect_uri": "https://ent.test/autre"}, "redirect_uri", "invalid redirect_uri"),
        ({"redirect_uri": "x"}, "redirect_uri", "invalid redirect_uri"),
        ({"redirect_uri": None}, "none", "invalid redirect_uri"),
        ({"redirect_uri": ""}, "none", "invalid redirect_uri"),
        ({"client_id": "nobody"}, "client", "invalid client_id"),
        ({"client_id": None}, "client", "invalid client_id"),
        ({"response_mode": "fragment"}, "request", "response_mode must be one of: query, form_post"),
        ({"state": "x" * 5000}, "request", "too long state"),
    ],
)
def test_the_page_says_why_it_does_not_redirect(
    browser: FlaskClient, ent: RelyingParty, changes: dict[str, str | None], sentence: str, phrase: str
) -> None:
    # RFC 6749, 4.1.2.1.
    text = stays_here(browser.get(ent.url(Attempt(), **changes))).replace("\u202f", " ")
    assert phrase in text
    assert [known_sentence for known_sentence in SENTENCES.values() if known_sentence in text] == [SENTENCES[sentence]]
