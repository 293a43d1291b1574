"""Every route is public on purpose or guarded: the tests fail for a route that is not listed, and try listed ones."""

import re
from collections.abc import Callable
from http import HTTPStatus

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.app import create_app
from tests.builders import PASSWORD
from tests.databases import NOWHERE, settings_for
from tests.pages import heading, sign_in
from tests.rows import each_row

Guard = Callable[[TestResponse], None]


def public(answer: TestResponse) -> None:
    assert answer.status_code == HTTPStatus.OK


def continuation(answer: TestResponse) -> None:
    """Only a browser with an authorization request in progress, by a signed value in the URL."""
    assert (answer.status_code, heading(answer)) == (HTTPStatus.BAD_REQUEST, "Reprenons depuis l’ENT")


def to_the_account(answer: TestResponse) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.SEE_OTHER, "/mon-compte")


def named_by_the_operator(answer: TestResponse) -> None:
    assert answer.status_code == HTTPStatus.NOT_FOUND


def to_the_password(answer: TestResponse) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.SEE_OTHER, "/mon-compte/mot-de-passe")


def session(answer: TestResponse) -> None:
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.SEE_OTHER, "/connexion")


def link(answer: TestResponse) -> None:
    assert (answer.status_code, heading(answer)) == (HTTPStatus.GONE, "Ce lien ne marche plus")


def profile(answer: TestResponse) -> None:
    assert answer.status_code == HTTPStatus.NOT_FOUND


def form_token(answer: TestResponse) -> None:
    """Only a form of the service; other guards of the page follow."""
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert heading(answer) == "Cette page est restée ouverte trop longtemps"


def registered(answer: TestResponse) -> None:
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert heading(answer) == "La demande de connexion n’est pas valable"


def by_get(answer: TestResponse) -> None:
    """Checked after the redirect to GET, because a POST from another site has no cookies."""
    assert (answer.status_code, answer.headers["Location"]) == (HTTPStatus.SEE_OTHER, answer.request.path)


def client(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (HTTPStatus.UNAUTHORIZED, "invalid_client")


def bearer(answer: TestResponse) -> None:
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


ROUTES: dict[str, dict[str, Guard]] = {
    "/": {"GET": to_the_account},
    "/.well-known/oauth-authorization-server": {"GET": public},
    "/.well-known/openid-configuration": {"GET": public},
    "/.well-known/security.txt": {"GET": named_by_the_operator},
    "/.well-known/change-password": {"GET": to_the_password},
    "/.well-known/passkey-endpoints": {"GET": public},
    "/jwks.json": {"GET": public},
    "/healthz": {"GET": public},
    "/readyz": {"GET": public},
    "/accessibilite": {"GET": public},
    "/donnees-personnelles": {"GET": public},
    "/mentions-legales": {"GET": public},
    "/identifiant-oublie": {"GET": public, "POST": form_token},
    "/identifiant-oublie/envoye": {"GET": public},
    "/mot-de-passe-oublie": {"GET": public, "POST": form_token},
    "/mot-de-passe-oublie/envoye": {"GET": public},
    "/mot-de-passe/lien/<token>": {"GET": link, "POST": form_token},
    "/mot-de-passe/change": {"GET": public},
    "/profil": {"GET": public, "POST": form_token},
    "/profil/ailleurs": {"GET": profile},
    "/mon-ent": {"GET": public},
    "/connexion": {"GET": public, "POST": form_token},
    "/connexion/cle-d-acces": {"GET": session},
    "/connexion/cle-d-acces/defi": {"POST": form_token},
    "/activation": {"GET": continuation, "POST": form_token},
    "/activation/non-representant": {"GET": continuation, "POST": form_token},
    "/adresse/confirmation": {"GET": continuation, "POST": form_token},
    "/adresse/confirmation/etat": {"GET": continuation},
    "/adresse/modifier": {"GET": continuation, "POST": form_token},
    "/adresse/lien/<token>": {"GET": link, "POST": form_token},
    "/adresse/contestation/<token>": {"GET": link, "POST": form_token},
    "/adresse/signalement/<token>": {"GET": link, "POST": form_token},
    "/charte": {"GET": continuation, "POST": form_token},
    "/charte/refus": {"GET": continuation},
    "/mon-compte": {"GET": session},
    "/mon-compte/mot-de-passe": {"GET": session, "POST": form_token},
    "/mon-compte/adresse": {"GET": session, "POST": form_token},
    "/mon-compte/sessions": {"GET": session, "POST": form_token},
    "/mon-compte/cles": {"GET": session, "POST": form_token},
    "/mon-compte/cles/defi": {"POST": form_token},
    "/mon-compte/cles/nom": {"POST": form_token},
    "/mon-compte/cles/retirer": {"POST": form_token},
    "/mon-compte/verification": {"GET": session, "POST": form_token},
    "/mon-compte/charte": {"GET": session},
    "/mon-compte/charte/<version>": {"GET": session},
    "/mon-compte/ent": {"GET": session},
    "/mon-compte/courrier": {"GET": session, "POST": form_token},
    "/mon-compte/courrier/doute": {"GET": session},
    "/authorize": {"GET": registered, "POST": by_get},
    "/authorize/resume": {"GET": continuation},
    "/authorize/refus": {"GET": continuation},
    "/token": {"POST": client},
    "/par": {"POST": client},
    "/revoke": {"POST": client},
    "/introspect": {"POST": client},
    "/register": {"POST": bearer},
    "/register/<client_id>": {"GET": bearer, "PUT": bearer, "DELETE": bearer},
    "/session/check": {"GET": public},
    "/authorize/autre-ent": {"GET": continuation},
    "/authorize/accord": {"GET": continuation, "POST": form_token},
    "/authorize/est-ce-vous": {"GET": continuation, "POST": form_token},
    "/userinfo": {"GET": bearer, "POST": bearer},
    "/charter": {"GET": bearer},
    "/charter/acceptance": {"POST": bearer},
    "/logout": {"GET": public, "POST": by_get},  # for a person without a session; see below
}
WITHOUT_FORM_TOKEN = {
    *("/authorize", "/token", "/par", "/revoke", "/introspect", "/register"),
    *("/userinfo", "/charter/acceptance", "/logout"),
}
"""Posted by programs, or by pages of other sites, with their own authentication."""
FORMS = {
    "/token": {"grant_type": "authorization_code", "code": "x"},
    "/par": {"client_id": "x"},
    "/revoke": {"token": "x"},
    "/introspect": {"token": "x"},
}
"""Values that are read before the authentication."""


def routes() -> set[tuple[str, str]]:
    app = create_app(settings_for(NOWHERE))
    return {(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()}


@pytest.mark.row("K-08")
def test_every_route_is_listed_and_nothing_that_is_gone() -> None:
    matches = {(path, method) for path, method in routes() if method not in {"HEAD", "OPTIONS"}}
    assert matches == {(path, method) for path, guards in ROUTES.items() for method in guards}


@pytest.mark.row("M-05")
def test_only_the_protocol_posts_without_a_form_token() -> None:
    posted = {path: guards["POST"] for path, guards in ROUTES.items() if "POST" in guards}
    assert {path for path, guard in posted.items() if guard is not form_token} == WITHOUT_FORM_TOKEN


@each_row(("path", "method"), [(path, method) for path, guards in ROUTES.items() for method in guards])
def test_a_stranger_meets_the_guard(app: Flask, path: str, method: str) -> None:
    answer = app.test_client().open(re.sub("<.*?>", "x" * 43, path), method=method, data=FORMS.get(path))
    ROUTES[path][method](answer)


@pytest.mark.row("M-05")
def test_a_signed_in_parent_needs_the_form_token_too(browser: FlaskClient, parent: Account) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    public(browser.get("/mon-compte"))
    forms = [path for path, guards in ROUTES.items() if guards.get("POST") is form_token]
    assert forms
    for path in forms:
        for data in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 60}):
            form_token(browser.post(re.sub("<.*?>", "x" * 43, path), data=data))


@pytest.mark.row("L-01")
@pytest.mark.parametrize("data", [{}, {"csrf_token": ""}, {"csrf_token": "x" * 60}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_site_signs_nobody_out(
    browser: FlaskClient, method: str, data: dict[str, str], parent: Account
) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    browser.open("/logout", method=method, data=data)
    answer = browser.get("/mon-compte")
    assert answer.status_code == HTTPStatus.OK
    assert parent.username in answer.get_data(as_text=True)
