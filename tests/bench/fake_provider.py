"""A provider in a few lines, right or wrong as a test asks, as a WSGI application."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug import Request, Response

from bench.driver.provider import Client, Person, Provider
from bench.driver.relying_party import DISCOVERY

PORT = 9
CALLBACK = "http://127.0.0.1:9999/callback"
_ISSUER = f"http://127.0.0.1:{PORT}"
_KEY = RSAKey.generate_key(2048, {"kid": "right"})
_OTHER_KEY = RSAKey.generate_key(2048, {"kid": "right"})
_FORM = (
    '<form action="/other"><input name="q"></form><form method="post"><input type="hidden" name="t" value="a&amp;b">'
)
_FIELDS = {"first": '<input name="user">', "second": "<input type='password' name=secret>"}


def provider(**changes: Any) -> Provider:
    people = [Person(f"p{number}") for number in range(20)]
    client = Client("c", "s", CALLBACK, "openid")
    return Provider("fake", PORT, client, "user", "secret", "right", people, **changes)


class FakeProvider:
    """A WSGI application; `fault` names what is wrong with its answers."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.paths: list[str] = []
        self._request: dict[str, str] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        self.paths.append(f"{request.method} {request.path}")
        pages: dict[str, Callable[[Request], Response]] = {
            DISCOVERY: self._discovery,
            "/keys": lambda _: _json(KeySet([_KEY]).as_dict(private=False)),
            "/authorize": self._authorize,
            "/form": self._form,
            "/token": self._token,
            "/userinfo": self._userinfo,
        }
        return pages[request.path](request)

    def _discovery(self, _: Request) -> Response:
        where = "http://192.0.2.1" if self.fault == "an endpoint elsewhere" else _ISSUER
        endpoints = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        urls = {f"{name}_endpoint": f"{where}/{path}" for name, path in endpoints.items()}
        issuer = "http://127.0.0.1:1" if self.fault == "another issuer in discovery" else _ISSUER
        return _json({"issuer": issuer, "jwks_uri": f"{_ISSUER}/keys", **urls})

    def _authorize(self, request: Request) -> Response:
        self._request = dict(request.args)
        if "session" in request.cookies:
            return self._callback()
        if self.fault == "a redirect elsewhere":
            return Response(status=303, headers={"Location": "http://192.0.2.1/form"})
        return Response(status=303, headers={"Location": "form"})

    def _form(self, request: Request) -> Response:
        """Ask for the username, then for the password on a second page."""
        if self.fault == "no form":
            return Response("<p>Closed.</p>")
        if "secret" in request.form:
            assert request.form["t"] == "a&b"
            assert request.form["secret"] == "right"
            answer = self._callback()
            answer.set_cookie("session", "1")
            return answer
        return Response(_FORM + _FIELDS["second" if "user" in request.form else "first"] + "</form>")

    def _callback(self) -> Response:
        state = "x" if self.fault == "a wrong state" else self._request["state"]
        issuer = "http://127.0.0.1:1" if self.fault == "a wrong issuer" else _ISSUER
        answer = {"state": state, "iss": issuer, "code": "k"}
        if self.fault == "no code":
            answer = answer | {"error": "access_denied"}
            del answer["code"]
        return Response(status=302, headers={"Location": f"{CALLBACK}?{urlencode(answer)}"})

    def _token(self, request: Request) -> Response:
        if self.fault == "a refused code":
            return _json({"error": "invalid_grant"}, 400)
        if "code_verifier" in request.form:
            digest = hashlib.sha256(request.form["code_verifier"].encode()).digest()
            assert self._request["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        access, renewed = secrets.token_urlsafe(), secrets.token_urlsafe()
        if self.fault == "no rotation":
            renewed = request.form.get("refresh_token", renewed)
        tokens = {"access_token": access, "refresh_token": renewed, "id_token": self._id_token(access)}
        tokens.pop(self.fault.removeprefix("no "), None)
        return _json(tokens)

    def _id_token(self, access_token: str) -> str:
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        claims = {
            "iss": _ISSUER,
            "aud": "c",
            "sub": "1",
            "nonce": self._request["nonce"],
            "iat": int(time.time()),
            "exp": int(time.time()) + 60,
            "at_hash": base64.urlsafe_b64encode(half).rstrip(b"=").decode(),
        }
        claims |= {"exp": 1} if self.fault == "an expired ID token" else {}
        wrong = self.fault.removeprefix("an ID token with a wrong ")
        claims |= {wrong: "x"} if wrong in claims else {}
        key = _OTHER_KEY if self.fault == "an ID token with another key" else _KEY
        return jwt.encode({"alg": "RS256", "kid": "right"}, claims, key)

    def _userinfo(self, request: Request) -> Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        return _json({} if self.fault == "no sub" else {"sub": "1"})


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")
