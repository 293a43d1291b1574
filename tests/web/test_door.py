"""The door before Flask: endpoints of the protocol are answered without it, with the same limits and error pages."""

import pytest
from flask import Flask, has_request_context
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import EnvironBuilder, run_wsgi_app

from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.db import db
from idp.login import service
from idp.oidc.tokens import endpoints
from idp.services import services_of
from idp.web import http
from idp.web.door import Door
from idp.web.http import Request, Response, current_request
from tests.builders import PASSWORD, Build
from tests.pages import form_token
from tests.rows import each_row


@pytest.fixture
def doors(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The requests that the door answered, and whether Flask had a request then."""
    answered: list[tuple[str, bool]] = []
    answer = Door._ask_endpoint

    def note(self: Door, function: object, request: Request) -> object:
        def noted(same: Request) -> Response | None:
            answered.append((same.path, has_request_context()))
            response: Response | None = function(same)  # type: ignore[operator]
            return response

        return answer(self, noted, request)

    monkeypatch.setattr(Door, "_ask_endpoint", note)
    return answered


@each_row(
    ("method", "path", "status"),
    [
        ("GET", "/authorize", 400),
        ("GET", "/authorize/resume", 400),
        ("GET", "/authorize/refus", 400),
        ("POST", "/token", 415),
        ("GET", "/userinfo", 401),
        ("POST", "/revoke", 415),
        ("POST", "/introspect", 415),
        ("POST", "/par", 415),
        ("GET", "/charter", 401),
        ("POST", "/charter/acceptance", 401),
        ("GET", "/jwks.json", 200),
        ("GET", "/.well-known/openid-configuration", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
    ],
)
def test_endpoint_is_answered_without_flask(
    browser: FlaskClient, doors: list[tuple[str, bool]], method: str, path: str, status: int
) -> None:
    doors.clear()
    assert browser.open(path, method=method).status_code == status
    assert [*dict.fromkeys(doors)] == [(path, False)]


@each_row(
    ("method", "path", "status", "allowed"),
    [
        ("HEAD", "/authorize", 200, None),
        ("HEAD", "/jwks.json", 200, None),
        ("GET", "/token", 405, "POST"),
        ("PUT", "/userinfo", 405, "GET, HEAD, POST"),
        ("OPTIONS", "/token", 405, "POST"),
        ("OPTIONS", "/jwks.json", 200, "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods_and_spellings_are_left_to_flask(
    browser: FlaskClient, doors: list[tuple[str, bool]], method: str, path: str, status: int, allowed: str | None
) -> None:
    answer = browser.open(path, method=method)
    assert answer.status_code == status
    assert doors == []
    if allowed:
        assert {*answer.headers["Allow"].split(", ")} == {*allowed.split(", ")}


def test_what_an_endpoint_raises_is_answered_by_flask_s_handlers(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object) -> None:
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(endpoints, "find_holder", away)
    answer = browser.get("/userinfo")
    assert (answer.status_code, answer.get_json()) == (503, {"error": "temporarily_unavailable"})
    assert answer.headers["Retry-After"]
    monkeypatch.setattr(registry, "is_unknown", None)
    app.testing = False
    answer = browser.get("/authorize?client_id=x&prompt=none")
    assert answer.status_code == 500
    assert "<h1>" in answer.get_data(as_text=True)


def test_an_endpoint_that_forgets_to_write_is_an_error(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.ent()

    def change(_request: Request) -> Account:
        row = db.session.query(Client).first()
        assert row is not None
        row.name = "Autre"
        raise endpoints.AccessTokenError(401, "", "")

    monkeypatch.setattr(endpoints, "find_holder", change)
    browser.application.testing = False
    assert browser.get("/userinfo").status_code == 500


def test_limits_of_all_requests_hold_at_the_door(browser: FlaskClient) -> None:
    form = "application/x-www-form-urlencoded"
    assert browser.get("/authorize?x=" + "x" * 17_000).status_code == 414
    assert browser.post("/token", data=b"x=y&" * 60, content_type=form).status_code == 413
    assert browser.post("/token", data=b"x" * 70_000, content_type=form).status_code == 413
    plain = browser.application.test_client(use_cookies=False)
    assert plain.get("/jwks.json", headers={"Cookie": "x=" + "y" * 17_000}).status_code == 413


def test_a_request_ends_with_its_response(app: Flask, browser: FlaskClient) -> None:
    assert browser.get("/jwks.json").status_code == 200
    assert not http.has_request()
    with pytest.raises(RuntimeError):
        current_request()
    assert services_of(app)


def environ(**changes: str) -> dict[str, str]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", **changes}


@each_row(
    ("changes", "attribute", "expected"),
    [
        ({"PATH_INFO": "//a/\xc3\xa9"}, "path", "/a/é"),
        ({"PATH_INFO": "/\xff"}, "path", "/\ufffd"),
        ({"PATH_INFO": ""}, "path", "/"),
        ({"QUERY_STRING": "a=1&a=2&b=&c=%C3%A9"}, "arguments", {"a": "1", "b": "", "c": "é"}),
        ({"HTTP_COOKIE": 'x="1"; y=2; x=3; z'}, "cookies", {"x": "1", "y": "2", "z": ""}),
        ({"HTTP_COOKIE": "x=\xff"}, "cookies", {"x": "\ufffd"}),
        ({"CONTENT_TYPE": "Text/HTML ; charset=x"}, "media_type", "text/html"),
        ({"REMOTE_ADDR": "198.51.100.9"}, "remote_ip", "198.51.100.9"),
        ({"HTTP_USER_AGENT": "a" * 400}, "user_agent", "a" * 300),
    ],
)
def test_parts_of_a_request(changes: dict[str, str], attribute: str, expected: object) -> None:
    assert getattr(Request(environ(**changes)), attribute) == expected


@each_row(
    ("status", "method", "has_body", "has_length"),
    [
        (200, "GET", True, True),
        (200, "HEAD", False, True),
        (204, "GET", False, False),
        (304, "GET", False, False),
        (299, "GET", True, True),
    ],
)
def test_a_response_is_sent_as_its_status_and_method_ask(
    status: int, method: str, *, has_body: bool, has_length: bool
) -> None:
    started: list[tuple[str, list[tuple[str, str]]]] = []
    response = Response("é", status, content_type="text/plain")
    body = response(environ(REQUEST_METHOD=method), lambda line, headers, *_: started.append((line, headers)))  # type: ignore[arg-type]
    [(line, headers)] = started
    assert line.startswith(f"{status} ")
    assert b"".join(body) == ("é".encode() if has_body else b"")
    assert ("Content-Length", "2") in headers or not has_length


def test_a_form_without_its_token_or_with_an_empty_field_decides_nothing(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "sign_in", lambda *_, **__: pytest.fail("nothing may be decided"))
    username, token = build.active().username, form_token(browser.get("/connexion"))
    for sent in (token[:-1], f"{token}x", "", "x", "é"):
        form = {"csrf_token": sent, "identifiant": username, "mot-de-passe": PASSWORD}
        assert browser.post("/connexion", data=form).status_code == 400
    form = {"csrf_token": token, "identifiant": username, "mot-de-passe": ""}
    assert browser.post("/connexion", data=form).status_code == 200
    stranger = browser.application.test_client()
    form = {"csrf_token": token, "identifiant": username, "mot-de-passe": PASSWORD}
    assert stranger.post("/connexion", data=form).status_code == 400


def test_an_error_page_has_one_length(browser: FlaskClient) -> None:
    for answer in (
        browser.post("/token"),
        browser.get("/authorize/resume"),
        browser.get("/rien"),
        browser.put("/token"),
    ):
        assert answer.status_code >= 400
        assert len(answer.headers.getlist("Content-Length")) == 1
        assert int(answer.headers["Content-Length"]) == len(answer.get_data())


def test_the_case_of_a_method_does_not_change_its_limits(app: Flask) -> None:
    form = "application/x-www-form-urlencoded"
    for method in ("POST", "post", "Post"):
        environ = EnvironBuilder("/token", method="POST", data=b"x=y&" * 60, content_type=form).get_environ()
        _, status, _ = run_wsgi_app(app.wsgi_app, environ | {"REQUEST_METHOD": method})
        assert status.startswith("413 ")
