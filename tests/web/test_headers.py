"""B-02 and B-07: the security headers of every page, with any status."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import EnvironBuilder, run_wsgi_app

from idp.web.declarations import Declarations
from idp.web.errors import ServiceBusyError, TooManyRequestsError
from idp.web.security import Protection
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
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


@pytest.mark.row("B-02")
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
def test_pages_that_depend_on_a_session_forbid_caching(browser: FlaskClient, build: Build) -> None:
    account = build.active()
    for place in ("/mon-compte", "/connexion", "/logout", "/profil"):
        for _ in range(2):
            page = browser.get(place)
            assert page.headers["Cache-Control"] == "no-store"
            assert "Cookie" in page.headers["Vary"]
        sign_in(browser, "/connexion", account.username, PASSWORD)


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
