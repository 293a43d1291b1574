"""The security headers and cookies of every page, and the names that no page shows (B-01, B-02, B-07, N-01, N-04)."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app

from idp.accounts.models import Account
from idp.clock import now
from idp.services import services_of
from idp.web.declarations import Declarations
from idp.web.errors import ServiceBusyError, TooManyRequestsError
from idp.web.security import Protection
from tests.activation.steps import activate, newest_link
from tests.applications import lent
from tests.builders import PASSWORD, Build
from tests.databases import settings_for
from tests.pages import follow, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row
from tests.web.tour import break_page, pages

_EXACT = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Cache-Control": "no-store",
}
_POLICY = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Pages whose form may redirect to an ENT; Chromium applies `form-action` to redirects.
_MAY_LEAVE = {
    "/profil",
    "/connexion",
    "/connexion/cle-d-acces",
    "/charte",
    "/authorize/accord",
    "/authorize/est-ce-vous",
    "/logout",
    "/adresse/confirmation",
}


@pytest.mark.row("B-07")
@each_row("path", ["/static/nope", "/static/nope.css", "/.well-known/nope", "/.well-known/openid-configuration/x"])
def test_no_cache_may_store_the_page_of_an_error(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert answer.headers.getlist("Cache-Control") == ["no-store"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("kind", ["text/css", "text/plain"])
def test_no_cache_may_store_a_response_that_sets_a_cookie(kind: str) -> None:
    public = [("Content-Type", kind), ("Cache-Control", "public, max-age=3600"), ("Expires", "later")]
    protect = Protection([], Declarations())
    assert ("Cache-Control", "public, max-age=3600") in protect("/static/x", public)
    headers = [
        pair
        for pair in protect("/static/x", [*public, ("Set-Cookie", "a=b")])
        if pair[0] in {"Cache-Control", "Expires"}
    ]
    assert headers == [("Cache-Control", "no-store")]


@pytest.mark.row("A-23", "B-02")
def test_every_page_has_every_header(app: Flask, build: Build) -> None:
    seen, statuses = [], set()
    for name, page in pages(app, build):
        seen.append(name)
        statuses.add(page.status_code)
        assert page.mimetype == "text/html", name
        for header, value in _EXACT.items():
            assert page.headers.getlist(header) == [value], (name, header)
        [text] = page.headers.getlist("Content-Security-Policy")
        policy = dict(part.strip().split(" ", 1) for part in text.split(";"))
        form_action = policy.pop("form-action", None)
        assert policy == _POLICY, name
        leaves = page.request.path in _MAY_LEAVE or name == "answer posted"
        assert form_action == (None if leaves else "'self'"), name
        assert "Cookie" in page.headers["Vary"], name
        assert "Server" not in page.headers, name
    assert len(seen) == len(set(seen))
    assert {200, 400, 404, 405, 410, 413, 414, 429} <= statuses


@pytest.mark.row("B-02")
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (RuntimeError("secret detail"), 500),
        (OperationalError("SELECT secret detail", {}, Exception("secret detail")), 503),
        (ServiceBusyError(), 503),
        (TooManyRequestsError(60), 429),
    ],
)
def test_a_server_error_has_every_header_and_no_detail(
    app: Flask, browser: FlaskClient, fault: Exception, status: int
) -> None:
    app.testing = False
    break_page(app, fault)
    page = browser.get("/mentions-legales")
    assert page.status_code == status
    for header, value in _EXACT.items():
        assert page.headers.getlist(header) == [value], header
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for word in ("secret", "Traceback", "RuntimeError", "SELECT", "site-packages"):
        assert word not in page.text
    assert ("Retry-After" in page.headers) is (status in {429, 503})


@pytest.mark.row("B-02")
def test_pages_hold_no_script_no_style_and_nothing_from_elsewhere(app: Flask, build: Build) -> None:
    for name, page in pages(app, build):
        text = page.text
        assert " style=" not in text, name
        assert "<style" not in text, name
        posted = name == "answer posted"  # a script of the service sends its form to the ENT
        types = "/static/typing.js" in text  # of the pages where one types what has rules
        assert text.count("<script") == text.count('<script src="/static/') == 1 + posted + types, name
        assert not re.search(r"<[^>]*\son\w+=", text), name
        for attribute in ('src="', 'rel="stylesheet" href="', *(() if posted else ('action="',))):
            for part in text.split(attribute)[1:]:
                assert part.startswith("/"), (name, attribute, part[:60])


@pytest.mark.row("B-07")
def test_static_files_are_kept_and_set_no_cookie(browser: FlaskClient) -> None:
    page = browser.get("/connexion").text
    start = page.index("/static/base.css")
    style = browser.get(page[start : page.index('"', start)])
    style.close()
    assert style.status_code == 200
    assert "max-age=31536000" in style.headers["Cache-Control"]
    assert "Set-Cookie" not in style.headers
    assert style.headers["X-Content-Type-Options"] == "nosniff"
    assert browser.get("/static/../pyproject.toml").status_code == 404
    assert browser.get("/static/%2e%2e/%2e%2e/pyproject.toml").status_code == 404


@pytest.mark.parametrize("path", ["", "/", "//", "//evil.test", "/connexion/"])
def test_redirects_ignore_the_host_of_the_request(app: Flask, path: str) -> None:
    environ = EnvironBuilder(base_url="https://evil.test").get_environ()
    _, _, headers = run_wsgi_app(app.wsgi_app, environ | {"PATH_INFO": path})
    assert "evil.test" not in headers.get("Location", "")


def _watch(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the `Set-Cookie` headers of a browser by name, which later responses extend."""
    seen: dict[str, str] = {}
    real = browser.open

    def watching(*args: Any, **kwargs: Any) -> TestResponse:
        response = real(*args, **kwargs)
        for cookie in response.headers.getlist("Set-Cookie"):
            seen[cookie.partition("=")[0]] = cookie
        return response

    monkeypatch.setattr(browser, "open", watching)
    return seen


@pytest.mark.row("B-01")
def test_each_cookie_carries_the_attributes_that_browsers_enforce(
    browser: FlaskClient, build: Build, ent: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _watch(browser, monkeypatch)
    page = follow(browser, browser.get(ent.url(Attempt(), login_hint=None, state="x" * 1500)))
    page = submit(browser, page, profil="parent")
    submit(browser, page, identifiant=build.active().username, mot_de_passe=PASSWORD, rester="1")
    # scripts in frames read this one (Session Management 1.0, 3.2): it gives no access and identifies nobody
    state = seen.pop("__Host-bs")
    assert {part.strip() for part in state.split(";")[1:]} == {"Secure", "SameSite=None", "Path=/"}
    assert len(state) < 1000
    assert set(seen) == {"__Host-tx", "__Host-ss", "__Host-profil", "__Host-dv", "__Host-ds"}
    for name, cookie in seen.items():
        attributes = {part.strip().partition("=")[0].lower(): part.strip() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly"} <= set(attributes), name
        assert attributes["samesite"] == "SameSite=Lax", name
        assert attributes["path"] == "/" or attributes["path"] == "Path=/", name
        assert "domain" not in attributes, name
        assert len(cookie) < 1000, name
    session = seen["__Host-ss"].lower()
    assert "max-age" not in session, "closing the browser ends it"
    assert "expires" not in session


@pytest.mark.row("B-01")
def test_the_session_cookie_is_taken_away_with_the_same_attributes(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = _watch(browser, monkeypatch)
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    submit(browser, browser.get("/logout"))
    gone = seen["__Host-ss"]
    assert gone.startswith("__Host-ss=;")
    assert "Max-Age=0" in gone
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in gone


@pytest.mark.row("B-01")
def test_over_http_in_development_the_names_lose_the_prefix_that_browsers_refuse(app: Flask) -> None:
    here = settings_for(services_of(app).settings.database_url, env="development", issuer="http://127.0.0.1:8000")
    with lent(here) as plain:
        page = plain.test_client().get("/connexion", base_url="http://127.0.0.1:8000")
    [cookie] = page.headers.getlist("Set-Cookie")
    assert cookie.startswith("idp-tx=")
    assert "Secure" not in cookie
    assert "HttpOnly" in cookie


@pytest.mark.row("B-01")
def test_machines_get_no_cookie(browser: FlaskClient) -> None:
    for place in ("/.well-known/openid-configuration", "/jwks.json", "/healthz", "/readyz", "/userinfo", "/charter"):
        assert "Set-Cookie" not in browser.get(place).headers


def test_the_browser_cookie_is_written_when_it_changes_or_a_quarter_of_its_time_is_over(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its lifetime is that of an authorization request and a quarter, so that it outlives a request in progress.

    def written() -> list[str]:
        page = browser.get("/connexion")
        assert page.status_code == 200
        return [cookie for cookie in page.headers.getlist("Set-Cookie") if cookie.startswith("__Host-tx=")]

    [first] = written()
    assert "Max-Age=2250;" in first
    assert written() == []
    moment = now()
    monkeypatch.setattr("idp.web.browser.now", lambda: moment + timedelta(seconds=449))
    assert written() == []
    monkeypatch.setattr("idp.web.browser.now", lambda: moment + timedelta(seconds=452))
    assert len(written()) == 1


_NAMES = ("Noémie", "LEROY", "VANDEPUTTE", "Malo", "Tilleuls", "6e 1", "noemie", "@exemple.fr", "@")


@pytest.mark.row("N-04")
def test_without_a_session_no_page_holds_a_name_an_address_or_a_child(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    waiting = activate(browser, newcomer, mail="noemie@exemple.fr")
    link = newest_link(build.settings, newcomer.id)
    stranger = app.test_client()
    places = ["/connexion", "/profil", "/activation", "/activation/non-representant", "/mon-compte", "/charte"]
    places += [
        "/adresse/confirmation",
        "/adresse/modifier",
        "/identifiant-oublie",
        "/mot-de-passe-oublie",
        "/logout",
        link,
    ]
    places += [waiting.request.full_path, waiting.request.full_path.replace("/confirmation", "/modifier")]
    pages = [follow(stranger, stranger.get(place)) for place in places]
    question = stranger.get(link)
    pages += [submit(stranger, question), stranger.get(link), sign_in(stranger, "/connexion", "n.leroy", "faux")]
    for page in pages:
        text = page.text.replace("n.leroy4821", "").replace('value="n.leroy"', "")
        if page.request.path == link:
            text = text.replace("Collège des Tilleuls", "")  # only the school is notified: E-06
        assert not any(name in text for name in _NAMES), page.request.path


@pytest.mark.row("N-04")
def test_a_session_shows_its_own_persons_names_only(app: Flask, build: Build) -> None:
    build.active(given_name="Paul", family_name="MARTIN", email="paul@exemple.fr", children=[build.child("Zoé")])
    own = build.active(children=[build.child("Lila")])
    browser = app.test_client()
    text = sign_in(browser, "/connexion", own.username, PASSWORD).text
    assert "Lila" in text
    assert not any(word in text for word in ("Paul", "MARTIN", "paul@", "Zoé"))
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    assert "Lila" not in follow(browser, browser.get("/mon-compte")).text
