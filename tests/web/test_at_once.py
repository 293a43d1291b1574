"""What the event loop of the server answers: what is in its memory, and refusals of an overload."""

import json
import math
import re
from datetime import timedelta
from io import BytesIO
from itertools import product
from urllib.parse import urlsplit

import pytest
from flask import Flask, template_rendered
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.routing import MapAdapter
from werkzeug.test import EnvironBuilder

from idp.clients import registry
from idp.clients.models import Client
from idp.db import db, release_connection, unit_of_work
from idp.operations import health
from idp.services import services_of
from idp.serving.bridge import door_of
from idp.throttle import limits
from idp.waiting import WouldWaitError, without_waiting
from idp.web.door import ARRIVING_SECONDS, PROGRAM_SECONDS, UNDERWAY_SECONDS
from idp.web.http import Request, Response
from tests.builders import PASSWORD, Build
from tests.pages import cookie_value, sign_in
from tests.protocol.flow import tokens_for
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row


def ask(app: Flask, url: str, *, method: str = "GET", cookies: str = "", **headers: str) -> Response | None:
    parts = urlsplit(url)
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": parts.path,
        "QUERY_STRING": parts.query,
        "REMOTE_ADDR": "198.51.100.9",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(),
        "HTTP_COOKIE": cookies,
        **{f"HTTP_{name}": value for name, value in headers.items()},
    }
    return door_of(app).answer_at_once(Request(environ))


def answered(app: Flask, url: str, **more: str) -> Response:
    response = ask(app, url, **more)
    assert response is not None
    return response


def cookies_of(response: Response) -> str:
    return "; ".join(value.partition(";")[0] for name, value in response.headers if name == "Set-Cookie")


def test_a_browser_comes_to_the_sign_in_page_without_a_statement(app: Flask, ent: RelyingParty) -> None:
    app.test_client().get(ent.url(Attempt()))  # the registration is in memory now
    app.test_client().get("/jwks.json")
    with listening(app) as seen:
        begun = answered(app, ent.url(Attempt(), login_hint="profil:parent"))
        assert begun.status == 303
        page = answered(app, dict(begun.headers)["Location"], cookies=cookies_of(begun))
        assert page.status == 200
        assert b"<h1>Connexion</h1>" in page.body
        for url in ("/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
            assert answered(app, url).status == 200
        assert seen.work() == []


@each_row(
    ("method", "path"),
    [
        ("GET", "/authorize/resume?demande=x"),
        ("GET", "/connexion"),
        ("POST", "/connexion"),
        ("HEAD", "/jwks.json"),
        ("GET", "/userinfo"),
        ("POST", "/token"),
        ("GET", "/mentions-legales"),
        ("GET", "/static/base.css"),
    ],
)
def test_other_requests_are_left_to_a_thread(app: Flask, method: str, path: str) -> None:
    assert ask(app, path, method=method) is None


@each_row("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_path_without_a_page_is_answered_from_memory_in_each_language(app: Flask, method: str) -> None:
    titles = {"fr": "Cette page n’existe pas", "en": "This page does not exist"}
    paths = ("/rien", "/static/rien.css", "/.well-known/rien")
    for path, (language, title) in product(paths, titles.items()):
        with listening(app) as seen:
            page = answered(app, f"{path}?x=%3Cb%3E&y=2", method=method, ACCEPT_LANGUAGE=language)
        assert (page.status, f"<h1>{title}</h1>" in page.body.decode()) == (404, True)
        assert 'href="?x=%3Cb%3E&amp;y=2&amp;langue=de"' not in page.body.decode()
        assert 'href="?x=%3Cb%3E&amp;y=2&amp;langue=es"' in page.body.decode()
        assert dict(page.headers)["Cache-Control"] == "no-store"
        assert seen.work() == []
    assert "lang=en" in cookies_of(answered(app, "/rien?langue=en"))


def test_an_unknown_client_is_looked_up_once_in_ten_seconds(
    app: Flask, ent: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr("idp.clients.registry.time.monotonic", lambda: moment)
    url = ent.url(Attempt()).replace(ent.client_id, "unknown")
    assert ask(app, url) is None, "nobody has looked"
    assert app.test_client().get(url).status_code == 400
    references = set()
    for language, title in (("fr", "La demande de connexion n’est pas valable"), ("en", "The sign-in request")):
        with listening(app) as seen:
            page = answered(app, url, ACCEPT_LANGUAGE=language)
        assert (page.status, title in page.body.decode()) == (400, True)
        references |= set(re.findall(r"\b[2-9A-Z]{4}-[2-9A-Z]{4}\b", page.body.decode()))
        assert seen.work() == []
    assert len(references) == 2, "each has its own"
    with unit_of_work():
        client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
        client.client_id = "unknown"
    moment += 10
    assert app.test_client().get(url).status_code == 303, "a client that was added meanwhile"


def test_few_unknown_clients_are_remembered(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MOST_UNKNOWN", 5)
    for number in range(registry._MOST_UNKNOWN + 5):
        with app.app_context():
            assert registry.find(f"unknown{number}") is None
    assert len(registry._unknown) <= registry._MOST_UNKNOWN


def test_a_request_with_a_session_is_left_to_a_thread(app: Flask, ent: RelyingParty, build: Build) -> None:
    browser = app.test_client()
    sign_in(browser, "/connexion", build.active(children=[build.child()]).username, PASSWORD)
    cookie = cookie_value(browser)
    assert ask(app, ent.url(Attempt()), cookies=f"__Host-ss={cookie}") is None
    assert tokens_for(browser, ent)["id_token"]


def test_what_is_not_in_memory_is_left_to_a_thread_and_not_logged(
    app: Flask, ent: RelyingParty, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.forget()
    services_of(app).server.ring.forget()
    capsys.readouterr()
    assert ask(app, ent.url(Attempt())) is None
    assert ask(app, "/jwks.json") is None
    assert "request" not in capsys.readouterr().err
    app.test_client().get(ent.url(Attempt()))
    app.test_client().get("/jwks.json")
    assert ask(app, ent.url(Attempt())) is not None
    assert ask(app, "/jwks.json") is not None


def test_nothing_waits_in_the_block(app: Flask) -> None:
    with app.app_context():
        db.session.execute(text("SELECT 1"))
        db.session.remove()
        with pytest.raises(WouldWaitError), without_waiting():
            db.session.execute(text("SELECT 1"))
        with pytest.raises(WouldWaitError), without_waiting():
            release_connection()
        with pytest.raises(WouldWaitError), without_waiting(), unit_of_work():
            pass
        with pytest.raises(WouldWaitError), without_waiting():
            services_of(app).hasher.hash("une phrase de passe", "sign_in")
        db.session.remove()
        assert db.session.scalar(text("SELECT 1")) == 1, "afterwards the same thread may wait"


def test_a_request_that_a_thread_takes_over_is_counted_once(
    app: Flask, ent: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = limits.Budget("authorize_network", (limits.Window(3, timedelta(minutes=1)),), by_network=True)
    monkeypatch.setattr(limits, "AUTHORIZE_NETWORK", three)
    for url in (ent.url(Attempt(), prompt="none"), "/authorize?client_id=unknown", ent.url(Attempt())):
        assert app.test_client().get(url).status_code in {303, 400}
    assert app.test_client().get(ent.url(Attempt())).status_code == 429


@pytest.mark.own_app  # only the first request of a process is noted
def test_an_ignored_proxy_is_noted_by_the_thread_that_takes_over(app: Flask) -> None:
    app.test_client().get("/jwks.json")
    browser = app.test_client(use_cookies=False)
    assert browser.get("/jwks.json", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 200
    assert health.was_proxy_noticed()


def test_nothing_is_sent_to_a_redirect_uri_that_was_removed_a_moment_ago(app: Flask, ent: RelyingParty) -> None:
    app.test_client().get(ent.url(Attempt()))  # the registration is in memory now
    with unit_of_work():
        client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
        client.redirect_uris = ["https://ent.test/other"]
        client.version += 1
    for attempt, more in ((Attempt(), {"prompt": "none"}), (Attempt(state="漢" * 4000), {})):
        path, _, query = ent.url(attempt, **more).partition("?")
        form = "application/x-www-form-urlencoded"
        for answer in (
            app.test_client().post(path, data=query, content_type=form),
            app.test_client().get(f"{path}?{query[:9000]}"),
        ):
            assert not answer.headers.get("Location", "").startswith("https://")


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
        assert 'href="?langue=en"' in shed(app, "GET", f"/connexion?{query}", {}).body.decode()


def test_a_person_with_a_session_sees_it_too(app: Flask, browser: FlaskClient, build: Build) -> None:
    sign_in(browser, "/connexion", build.active(children=[build.child()]).username, PASSWORD)
    cookie = cookie_value(browser)
    page = shed(app, "GET", "/mon-compte", {"Cookie": f"__Host-ss={cookie}"})
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
    assert door_of(app).patience(request(method, path, {"Cookie": cookie})) == seconds


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
    # Without a declared proxy, all people seem to be one, and have the whole queue.
    assert door_of(app).shares(request("GET", path, {"X-Forwarded-For": "198.51.100.1"})) == shares


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
    [link] = re.findall(r'class="btn" href="([^"]*)"', shed(app, method, path, {}).body.decode())
    assert re.fullmatch(r"/(?!/)[\w.%/-]*", link), link


def test_a_probe_that_asks_the_database_is_told_from_other_requests(app: Flask) -> None:
    door = door_of(app)
    for path, expected in (("/readyz", True), ("/healthz", False), ("/connexion", False)):
        assert door.is_probe(request("GET", path, {})) is expected


def test_whether_the_process_answers_needs_no_thread(app: Flask) -> None:
    response = door_of(app).answer_at_once(request("GET", "/healthz", {}))
    assert response is not None
    assert (response.status, json.loads(response.body)) == (200, {"status": "ok"})
