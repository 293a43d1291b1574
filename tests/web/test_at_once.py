"""What the event loop of the server answers: only what the memory of the process is enough for."""

import re
from datetime import timedelta
from io import BytesIO
from itertools import product
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select, text

from idp.clients import registry
from idp.clients.models import Client
from idp.db import db, release_connection, unit_of_work
from idp.operations import proxies
from idp.services import services_of
from idp.serving.bridge import door_of
from idp.throttle import limits
from idp.waiting import WouldWaitError, without_waiting
from idp.web.http import Request, Response
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.flow import tokens_for
from tests.protocol.listening import listening
from tests.relying_party import Attempt, RelyingParty
from tests.rows import each_row


def ask(app: Flask, url: str, *, method: str = "GET", cookies: str = "", **headers: str) -> Response | None:
    """Ask the door of `app` as the event loop does."""
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
            document = answered(app, url)
            assert document.status == 200
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
    chosen = answered(app, "/rien?langue=en")
    assert "lang=en" in cookies_of(chosen)


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
    cookie = browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    assert cookie is not None
    assert ask(app, ent.url(Attempt()), cookies=f"__Host-ss={cookie.value}") is None
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
    assert proxies.was_noticed()


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
