"""What an overloaded service answers without a thread, and whom it refuses first."""

import json
import math
import re

import pytest
from flask import Flask, template_rendered
from flask.testing import FlaskClient
from werkzeug.routing import MapAdapter
from werkzeug.test import EnvironBuilder

from idp.serving.bridge import door_of
from idp.web.door.door import ARRIVING_SECONDS, PROGRAM_SECONDS, UNDERWAY_SECONDS
from idp.web.http import Request, Response
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.listening import listening
from tests.rows import each_row


def request(method: str, path: str, headers: dict[str, str]) -> Request:
    return Request(EnvironBuilder(path, method=method, headers=list(headers.items())).get_environ())


def shed(app: Flask, method: str, path: str, headers: dict[str, str]) -> Response:
    door = door_of(app)
    with listening(app) as seen:
        response = door.shed(request(method, path, headers))
    assert seen.work() == []
    assert (response.status, dict(response.headers)["Retry-After"]) == (503, "8")
    assert ("X-Content-Type-Options", "nosniff") in response.headers
    return response


@each_row(
    ("method", "path", "language", "sentence"),
    [
        ("POST", "/connexion", "fr", "Beaucoup de familles se connectent"),
        ("GET", "/authorize", "en", "Many families are signing in"),
        ("GET", "/mot-de-passe-oublie", "fr", "Beaucoup de familles se connectent"),
        ("GET", "/rien", "fr", "Beaucoup de familles se connectent"),
    ],
)
def test_a_person_sees_affluence_without_a_statement(
    app: Flask, method: str, path: str, language: str, sentence: str
) -> None:
    assert sentence in shed(app, method, path, {"Accept-Language": language}).body.decode()


def test_the_page_is_rendered_once_and_has_the_links_of_each_request(app: Flask) -> None:
    rendered = []
    with template_rendered.connected_to(lambda _app, template, **_: rendered.append(template.name), app):
        first = shed(app, "GET", "/authorize?state=a&x=%3Cb%3E", {"Accept-Language": "de"}).body.decode()
        second = shed(app, "GET", "/connexion", {"Accept-Language": "de"}).body.decode()
        form = shed(app, "POST", "/connexion?state=c", {"Accept-Language": "de"}).body.decode()
    assert len(rendered) <= 1, "another test may have asked for it"
    assert 'href="/authorize?state=a&amp;x=%3Cb%3E"' in first
    assert 'href="?state=a&amp;x=%3Cb%3E&amp;langue=en"' in first
    assert 'href="/connexion"' in second
    assert 'href="?langue=en"' in second
    assert 'href="?state=c&amp;langue=en"' in form
    assert "mark" not in first + second + form


def test_the_page_of_a_long_url_is_rendered_once_and_repeats_nothing_of_it(app: Flask) -> None:
    door, rendered = door_of(app), []
    with (
        template_rendered.connected_to(lambda _app, template, **_: rendered.append(template.name), app),
        listening(app) as seen,
    ):
        pages = [
            door.refuse(request("GET", f"/connexion?{letter * 8_300}", {"Accept-Language": "de"}), 414)
            for letter in "xyz"
        ]
    assert len(rendered) <= 1, "another test may have asked for it"
    assert seen.work() == []
    assert [page.status for page in pages] == [414] * 3
    assert len({page.body for page in pages}) == 1


def test_a_long_query_is_neither_read_nor_repeated(app: Flask) -> None:
    for query in ("a&" * 4_000, "a=%0a" * 1_500):
        body = shed(app, "GET", f"/connexion?{query}", {}).body.decode()
        assert 'href="?langue=en"' in body


def test_a_person_with_a_session_sees_it_too(app: Flask, browser: FlaskClient, build: Build) -> None:
    sign_in(browser, "/connexion", build.active(children=[build.child()]).username, PASSWORD)
    cookie = browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    assert cookie is not None
    page = shed(app, "GET", "/mon-compte", {"Cookie": f"__Host-ss={cookie.value}"})
    assert "Beaucoup de familles se connectent" in page.body.decode()


def test_a_program_gets_the_error_of_oauth(app: Flask) -> None:
    for path in ("/token", "/userinfo"):
        assert json.loads(shed(app, "POST", path, {}).body) == {"error": "temporarily_unavailable"}


@each_row(
    ("method", "path", "cookie", "seconds"),
    [
        ("GET", "/authorize", "", ARRIVING_SECONDS),
        ("GET", "/mot-de-passe-oublie", "", ARRIVING_SECONDS),
        ("POST", "/connexion", "", ARRIVING_SECONDS),
        ("POST", "/connexion", "__Host-ss=x", UNDERWAY_SECONDS),
        ("GET", "/authorize", "__Host-ss=x", UNDERWAY_SECONDS),
        ("POST", "/activation", "", UNDERWAY_SECONDS),
        ("POST", "/token", "", PROGRAM_SECONDS),
        ("GET", "/userinfo", "", PROGRAM_SECONDS),
        ("GET", "/jwks.json", "", PROGRAM_SECONDS),
        ("GET", "/healthz", "__Host-ss=x", PROGRAM_SECONDS),
        ("GET", "/readyz", "", math.inf),
        ("GET", "/static/base.css", "", PROGRAM_SECONDS),
    ],
)
def test_who_arrives_is_shed_before_who_is_underway(
    app: Flask, method: str, path: str, cookie: str, seconds: float
) -> None:
    door = door_of(app)
    assert door.patience(request(method, path, {"Cookie": cookie})) == seconds


@each_row(
    ("path", "shares"),
    [
        ("/connexion", {"people": 256}),
        ("/token", {"programs": 128}),
        ("/static/base.css", {"programs": 128}),
        ("/readyz", {"programs": 128}),
    ],
)
def test_programs_share_a_part_of_the_queue(app: Flask, path: str, shares: dict[str, int]) -> None:
    """Without a declared proxy, all people seem to be one, and have the whole queue."""
    door = door_of(app)
    assert door.shares(request("GET", path, {"X-Forwarded-For": "198.51.100.1"})) == shares


@each_row("method", ["GET", "POST", "DELETE", "PURGE"])
@each_row("path", ["/a" * 4_000, "/x" + "/" * 8_000, "/mon-compte" + "/a" * 4_000, "/" + "a" * 8_000])
def test_a_deep_path_costs_no_more_than_another(app: Flask, method: str, path: str) -> None:
    adapters: list[str] = []
    test = MapAdapter.test

    def count(adapter: MapAdapter, path: str, *more: str) -> bool:
        adapters.append(path)
        return test(adapter, path, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MapAdapter, "test", count)
        shed(app, method, path, {})
    assert len(adapters) <= 9


@each_row("method", ["GET", "POST"])
@each_row("path", ["//evil.example/x", "/%09/evil.example/x", "/%5Cevil.example", "/%0A/evil.example", "/%09%5Cevil"])
def test_the_new_try_stays_on_this_host(app: Flask, method: str, path: str) -> None:
    body = shed(app, method, path, {}).body.decode()
    [link] = re.findall(r'class="btn" href="([^"]*)"', body)
    assert re.fullmatch(r"/(?!/)[\w.%/-]*", link), link


def test_a_probe_that_asks_the_database_is_told_from_other_requests(app: Flask) -> None:
    door = door_of(app)
    for path, expected in (("/readyz", True), ("/healthz", False), ("/connexion", False)):
        assert door.is_probe(request("GET", path, {})) is expected


def test_whether_the_process_answers_needs_no_thread(app: Flask) -> None:
    door = door_of(app)
    response = door.answer_at_once(request("GET", "/healthz", {}))
    assert response is not None
    assert (response.status, json.loads(response.body)) == (200, {"status": "ok"})
