"""Every route is public on purpose or guarded, and public forms respond the same for all input."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Merge
from idp.accounts.passwords.hasher import fold_username
from idp.app import create_app
from idp.clock import now
from idp.db import release_connection
from idp.throttle import guard, limits
from tests.builders import PASSWORD, Build
from tests.closed import dispute
from tests.databases import NOWHERE, settings_for
from tests.pages import form_token, heading, sign_in
from tests.rows import each_row
from tests.statements.lending import heard

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


def needs_form_token(answer: TestResponse) -> None:
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
    "/identifiant-oublie": {"GET": public, "POST": needs_form_token},
    "/identifiant-oublie/envoye": {"GET": public},
    "/mot-de-passe-oublie": {"GET": public, "POST": needs_form_token},
    "/mot-de-passe-oublie/envoye": {"GET": public},
    "/mot-de-passe/lien/<token>": {"GET": link, "POST": needs_form_token},
    "/mot-de-passe/change": {"GET": public},
    "/profil": {"GET": public, "POST": needs_form_token},
    "/profil/ailleurs": {"GET": profile},
    "/mon-ent": {"GET": public},
    "/connexion": {"GET": public, "POST": needs_form_token},
    "/connexion/cle-d-acces": {"GET": session},
    "/connexion/cle-d-acces/defi": {"POST": needs_form_token},
    "/activation": {"GET": continuation, "POST": needs_form_token},
    "/activation/non-representant": {"GET": continuation, "POST": needs_form_token},
    "/adresse/confirmation": {"GET": continuation, "POST": needs_form_token},
    "/adresse/confirmation/etat": {"GET": continuation},
    "/adresse/modifier": {"GET": continuation, "POST": needs_form_token},
    "/adresse/lien/<token>": {"GET": link, "POST": needs_form_token},
    "/adresse/contestation/<token>": {"GET": link, "POST": needs_form_token},
    "/adresse/signalement/<token>": {"GET": link, "POST": needs_form_token},
    "/charte": {"GET": continuation, "POST": needs_form_token},
    "/charte/refus": {"GET": continuation},
    "/mon-compte": {"GET": session},
    "/mon-compte/mot-de-passe": {"GET": session, "POST": needs_form_token},
    "/mon-compte/adresse": {"GET": session, "POST": needs_form_token},
    "/mon-compte/sessions": {"GET": session, "POST": needs_form_token},
    "/mon-compte/cles": {"GET": session, "POST": needs_form_token},
    "/mon-compte/cles/defi": {"POST": needs_form_token},
    "/mon-compte/cles/nom": {"POST": needs_form_token},
    "/mon-compte/cles/retirer": {"POST": needs_form_token},
    "/mon-compte/verification": {"GET": session, "POST": needs_form_token},
    "/mon-compte/charte": {"GET": session},
    "/mon-compte/charte/<version>": {"GET": session},
    "/mon-compte/ent": {"GET": session},
    "/mon-compte/courrier": {"GET": session, "POST": needs_form_token},
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
    "/authorize/accord": {"GET": continuation, "POST": needs_form_token},
    "/authorize/est-ce-vous": {"GET": continuation, "POST": needs_form_token},
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
    assert {path for path, guard in posted.items() if guard is not needs_form_token} == WITHOUT_FORM_TOKEN


@each_row(("path", "method"), [(path, method) for path, guards in ROUTES.items() for method in guards])
def test_a_stranger_meets_the_guard(app: Flask, path: str, method: str) -> None:
    answer = app.test_client().open(re.sub("<.*?>", "x" * 43, path), method=method, data=FORMS.get(path))
    ROUTES[path][method](answer)


@pytest.mark.row("M-05")
def test_a_signed_in_parent_needs_the_form_token_too(browser: FlaskClient, parent: Account) -> None:
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    public(browser.get("/mon-compte"))
    forms = [path for path, guards in ROUTES.items() if guards.get("POST") is needs_form_token]
    assert forms
    for path in forms:
        for data in ({}, {"csrf_token": ""}, {"csrf_token": "x" * 60}):
            needs_form_token(browser.post(re.sub("<.*?>", "x" * 43, path), data=data))


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


SHARED = "famille@exemple.fr"


@dataclass(frozen=True)
class Person:
    """A typed username and email, of an account or of none."""

    username: str
    mail: str


def _of(account: Account, mail: str) -> Person:
    return Person(account.username, mail)


def _with(mail: str, **values: object) -> Callable[[Build], Person]:
    return lambda build: _of(build.active(**{"email": mail, **values}), mail)  # type: ignore[arg-type]


_active = _with("seule@exemple.fr")
_UNKNOWN = Person("n.personne9999", "personne@exemple.fr")


def _never_activated(build: Build) -> Person:
    return _of(build.never_activated(school_email="ecole@exemple.fr"), "ecole@exemple.fr")


def _shared_mail(build: Build) -> Person:
    build.active(email=SHARED)
    return _of(build.active(email=SHARED), SHARED)


def _merged(build: Build) -> Person:
    kept = build.active(email="reste@exemple.fr")
    merged = build.active(email="fondue@exemple.fr", disabled_at=now(), merge=Merge(into_id=kept.id))
    return _of(merged, "fondue@exemple.fr")


def _disputed(build: Build) -> Person:
    account = build.never_activated(school_email="dispute@exemple.fr")
    dispute(account.id)
    return _of(account, "dispute@exemple.fr")


PEOPLE: dict[str, Callable[[Build], Person]] = {
    "active": _active,
    "unknown": lambda _build: _UNKNOWN,
    "never activated": _never_activated,
    "disabled": _with("ferme@exemple.fr", disabled_at=now()),
    "blocked": _with("bloque@exemple.fr", password_state=PasswordState.BLOCKED),
    "no mail": _with("attend@exemple.fr", email=None, pending_email="attend@exemple.fr"),
    "shared mail": _shared_mail,
    "merged": _merged,
    "contested": _with("contestee@exemple.fr", contested_at=now(), password_state=PasswordState.BLOCKED),
    "disputed": _disputed,
}
NEUTRAL_FORMS: dict[str, Callable[[Person], dict[str, str]]] = {
    "/connexion": lambda person: {"identifiant": person.username, "mot-de-passe": "pas le bon du tout"},
    "/mot-de-passe-oublie": lambda person: {"identifiant": person.username},
    "/identifiant-oublie": lambda person: {"mail": person.mail},
}


def _seen(answer: TestResponse, person: Person) -> tuple[object, ...]:
    text = answer.get_data(as_text=True).replace(person.username, "[identifiant]").replace(person.mail, "[mail]")
    text = re.sub(r'(name="csrf_token"[^>]*value=)"[^"]+"', r'\1"[token]"', text)
    text = re.sub(r"demande=[\w.-]+", "demande=[value]", text)
    headers = [(name, value) for name, value in answer.headers if name not in {"Set-Cookie", "Date", "Content-Length"}]
    cookies = sorted(re.sub(r"=[^;]*", "=", cookie, count=1) for cookie in answer.headers.getlist("Set-Cookie"))
    return answer.status_code, text, headers, cookies


def _send(app: Flask, path: str, person: Person, ip: str) -> list[TestResponse]:
    browser = app.test_client()
    browser.environ_base["REMOTE_ADDR"] = ip
    page = browser.get(path)
    answers = [browser.post(path, data={"csrf_token": form_token(page), **NEUTRAL_FORMS[path](person)})]
    while "Location" in answers[-1].headers:
        answers.append(browser.get(answers[-1].headers["Location"]))
    return answers


@pytest.mark.row("N-01", "F-01", "G-01")
@pytest.mark.parametrize("path", NEUTRAL_FORMS)
def test_pages_and_statements_are_the_same_for_every_account(app: Flask, build: Build, path: str) -> None:
    people = {name: make(build) for name, make in PEOPLE.items()}
    outcomes: dict[str, object] = {}
    for number, (name, person) in enumerate(people.items()):
        release_connection()
        with heard() as statements:
            answers = _send(app, path, person, f"203.0.113.{number}")
        outcomes[name] = [_seen(answer, person) for answer in answers], statements
    for name, seen in outcomes.items():
        assert seen == outcomes["unknown"], name


@pytest.mark.row("N-01", "N-02")
@pytest.mark.parametrize("path", NEUTRAL_FORMS)
def test_wait_of_a_rate_limit_is_the_same_for_unknown_accounts(app: Flask, build: Build, path: str) -> None:
    people = {name: make(build) for name, make in PEOPLE.items()}
    outcomes: dict[str, object] = {}
    for number, (name, person) in enumerate(people.items()):
        codes = [_send(app, path, person, f"203.0.113.{number}")[0].status_code for _ in range(7)]
        assert codes[-1] == 429
        _, text, headers, cookies = _seen(_send(app, path, person, f"203.0.113.{10 * number + 8}")[0], person)
        waits = re.compile(r"\d+ ?\u00a0?secondes?|(?<=data-wait=\")\d+|(?<=Retry-After: )\d+")
        plain = [(n, "some" if n == "Retry-After" else v) for n, v in headers]  # type: ignore[attr-defined]
        outcomes[name] = codes, waits.sub("some", str(text)), plain, cookies
    for name, seen in outcomes.items():
        assert seen == outcomes["unknown"], name


@pytest.mark.row("N-02")
def test_rate_limits_depend_on_the_typed_text_alone(app: Flask, build: Build) -> None:
    for person in (_active(build), _UNKNOWN):
        folded = fold_username(person.username) or ""
        release_connection()
        for _ in range(5):
            assert isinstance(guard.take(limits.SIGN_IN_ACCOUNT, folded), guard.Granted)
        assert isinstance(guard.take(limits.SIGN_IN_ACCOUNT, folded), guard.Wait)
