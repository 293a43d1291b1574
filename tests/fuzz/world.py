"""What the fuzzer bends: right requests of every endpoint, by ENTs of every kind, for a parent who is signed in."""

import base64
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from tests.builders import PASSWORD, Build
from tests.dpop_party import ASSERTION_TYPE, Key
from tests.fuzz.shots import Shot
from tests.pages import form_token, sign_in
from tests.relying_party import Attempt, RelyingParty

OFFLINE = "openid profile email ent charter offline_access"


@dataclass
class World:
    """The parent, the ENTs, and how a right request of each kind is made anew."""

    app: Flask
    build: Build

    def __post_init__(self) -> None:
        """Register the ENTs and sign the parent in."""
        self.key, self.proving = Key.new(), Key.new()
        self.username = self.build.active().username
        more: dict[str, Any] = {"scopes": OFFLINE, "charter": "ent"}
        self.secret = self.build.ent("Secret", "secret.test", **more)
        self.open = self.build.ent("Ouvert", "open.test", auth_method="none", **more)
        jwks = {"keys": [{**self.key.jwk, "kid": "k1", "alg": "ES256", "use": "sig"}]}
        self.signing = self.build.ent("Signe", "signing.test", auth_method="private_key_jwt", jwks=jwks, **more)
        self.build.publish(self.secret, "1")
        self.browser = self.app.test_client()
        self.leaving = self.app.test_client()
        self.stranger = self.app.test_client()
        for browser in (self.browser, self.leaving):
            sign_in(browser, "/connexion", self.username, PASSWORD)
        self.form_token = form_token(self.stranger.get("/connexion"))
        self.tokens = self._tokens(self.secret)

    def kinds(self) -> dict[str, Callable[[random.Random], Shot]]:
        """Return how each kind of request is made."""
        return {
            "authorize": self._authorize,
            "authorize by post": self._authorize_by_post,
            "pushed": self._pushed,
            "code": self._code,
            "refresh": self._refresh,
            "push": self._push,
            "revoke": self._about_a_token("/revoke"),
            "introspect": self._about_a_token("/introspect"),
            "userinfo": self._userinfo,
            "charter": self._charter,
            "register": self._register,
            "registered": self._registered,
            "logout": self._logout,
            "document": self._document,
            "page": self._page,
            "form": self._form,
        }

    def bodies_are_json(self, path: str) -> bool:
        """Say whether an address answers programs."""
        return path in {"/token", "/par", "/revoke", "/introspect", "/userinfo", "/charter", "/register"}

    def may_lead_to(self, location: str) -> bool:
        """Say whether a redirect goes where it may: to our own pages, or to an address that an ENT registered."""
        if location.startswith(("https://secret.test/", "https://open.test/", "https://signing.test/")):
            return True
        return location.startswith("/") and not location.startswith(("//", "/\\"))

    def _ent(self, draw: random.Random) -> RelyingParty:
        return draw.choice([self.secret, self.open, self.signing])

    def _request(self, ent: RelyingParty) -> tuple[list[tuple[str, str]], Attempt]:
        attempt = Attempt()
        return [
            ("response_type", "code"),
            ("client_id", ent.client_id),
            ("redirect_uri", ent.redirect_uri),
            ("scope", OFFLINE),
            ("state", attempt.state),
            ("nonce", attempt.nonce),
            ("code_challenge", attempt.challenge),
            ("code_challenge_method", "S256"),
        ], attempt

    def _authorize(self, draw: random.Random) -> Shot:
        pairs, _ = self._request(self._ent(draw))
        pairs += draw.sample(
            [
                ("response_mode", "form_post"),
                ("prompt", draw.choice(["none", "login", "select_account consent"])),
                ("max_age", draw.choice(["0", "600"])),
                ("id_token_hint", self.tokens["id_token"]),
                ("claims", '{"userinfo":{"email":{"essential":true}},"id_token":{"acr":{"values":["x"]}}}'),
                ("acr_values", "urn:scolarite-services:acr:password-known-device"),
                ("login_hint", "profil:parent"),
                ("ui_locales", "fr"),
            ],
            draw.randint(0, 4),
        )
        return Shot("authorize", "GET", "/authorize", pairs)

    def _authorize_by_post(self, draw: random.Random) -> Shot:
        shot = self._authorize(draw)
        return Shot("authorize by post", "POST", "/authorize", form=shot.query)

    def _pushed(self, draw: random.Random) -> Shot:
        push = self._push(draw)
        answer = self.stranger.post("/par", data=dict(push.form or []), headers=push.headers)
        uri = (answer.get_json(silent=True) or {}).get("request_uri", "urn:ietf:params:oauth:request_uri:x")
        name = next(value for key, value in push.form or [] if key == "client_id")
        return Shot("pushed", "GET", "/authorize", [("client_id", name), ("request_uri", uri)])

    def _proof(self, method: str, path: str, access_token: str = "") -> str:
        return self.proving.proof(method, self.build.settings.issuer + path, access_token or None)

    def _authenticated(self, draw: random.Random, ent: RelyingParty, path: str, form: list[tuple[str, str]]) -> Shot:
        """Return a request of a client, proved in one of the ways."""
        headers: dict[str, str] = {}
        if ent is self.secret and draw.random() < 0.8:
            headers = ent.basic()
        elif ent is self.signing:
            name, moment = ent.client_id, int(time.time())
            claims = {
                "iss": name,
                "sub": name,
                "aud": self.build.settings.issuer,
                "jti": secrets.token_urlsafe(12),
                "iat": moment,
                "exp": moment + 60,
            }
            assertion = self.key.sign({"alg": "ES256", "kid": "k1"}, claims)
            form = [*form, ("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)]
        else:
            form = [*form, ("client_id", ent.client_id), *([("client_secret", ent.secret)] if ent.secret else [])]
        if draw.random() < 0.3:
            headers["DPoP"] = self._proof("POST", path)
        return Shot(path, "POST", path, form=list(dict(form).items()), headers=headers)

    def _fresh_code(self, ent: RelyingParty) -> tuple[str, Attempt]:
        for _ in range(2):
            pairs, attempt = self._request(ent)
            location = self.browser.get("/authorize", query_string=dict(pairs)).headers.get("Location", "")
            if "code=" in location:
                return location.partition("code=")[2].partition("&")[0], attempt
            sign_in(self.browser, "/connexion", self.username, PASSWORD)  # a bent request ended the session
        raise AssertionError("no code for a right request")

    def _tokens(self, ent: RelyingParty) -> dict[str, str]:
        code, attempt = self._fresh_code(ent)
        tokens: dict[str, str] = ent.exchange(self.browser, code, attempt).get_json()
        return tokens

    def _code(self, draw: random.Random) -> Shot:
        ent = self._ent(draw)
        code, attempt = self._fresh_code(ent)
        return self._authenticated(
            draw,
            ent,
            "/token",
            [
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", ent.redirect_uri),
                ("code_verifier", attempt.verifier),
            ],
        )

    def _refresh(self, draw: random.Random) -> Shot:
        token = self._tokens(self.secret).get("refresh_token", "")
        return self._authenticated(
            draw,
            self.secret,
            "/token",
            [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", "openid")],
        )

    def _push(self, draw: random.Random) -> Shot:
        ent = self._ent(draw)
        shot = self._authenticated(draw, ent, "/par", self._request(ent)[0])
        shot.form = list(dict([*(shot.form or []), ("client_id", ent.client_id)]).items())
        return shot

    def _about_a_token(self, path: str) -> Callable[[random.Random], Shot]:
        def make(draw: random.Random) -> Shot:
            token = draw.choice([self.tokens["access_token"], self.tokens["id_token"], secrets.token_urlsafe(32)])
            if path == "/revoke" and token == self.tokens["access_token"]:
                self.tokens = self._tokens(self.secret)
            form = [("token", token), ("token_type_hint", "access_token")]
            return self._authenticated(draw, self.secret, path, form)

        return make

    def _userinfo(self, draw: random.Random) -> Shot:
        token = self.tokens["access_token"]
        kind = draw.randrange(3)
        if kind == 0:
            return Shot("userinfo", "POST", "/userinfo", form=[("access_token", token)])
        headers = {"Authorization": f"Bearer {token}"}
        if kind == 1:
            headers = {"Authorization": f"DPoP {token}", "DPoP": self._proof("GET", "/userinfo", token)}
        return Shot("userinfo", "GET", "/userinfo", headers=headers)

    def _charter(self, draw: random.Random) -> Shot:
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        if draw.random() < 0.5:
            return Shot("charter", "GET", "/charter", headers=headers)
        return Shot("acceptance", "POST", "/charter/acceptance", json={"version": "1"}, headers=headers)

    def _register(self, draw: random.Random) -> Shot:
        metadata = {
            "redirect_uris": ["https://new.test/cb"],
            "client_name": "Nouveau",
            "scope": "openid profile",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": draw.choice(["client_secret_basic", "private_key_jwt", "none"]),
            "jwks": {"keys": [{**self.key.jwk, "kid": "k1"}]},
            "subject_type": "pairwise",
            "contacts": ["a@b.test"],
            "post_logout_redirect_uris": ["https://new.test/"],
            "default_max_age": 600,
        }
        return Shot("register", "POST", "/register", json=metadata, headers={"Authorization": "Bearer " + "x" * 43})

    def _registered(self, draw: random.Random) -> Shot:
        method = draw.choice(["GET", "PUT", "DELETE"])
        path = f"/register/{self.secret.client_id}"
        body = {"client_id": self.secret.client_id, "redirect_uris": ["https://secret.test/cb"]}
        headers = {"Authorization": "Bearer " + "x" * 43}
        return Shot("registered", method, path, json=body if method == "PUT" else None, headers=headers)

    def _logout(self, draw: random.Random) -> Shot:
        pairs = [
            ("id_token_hint", self.tokens["id_token"]),
            ("client_id", self.secret.client_id),
            ("post_logout_redirect_uri", "https://secret.test/bye"),
            ("state", "s"),
        ]
        if draw.random() < 0.5:
            return Shot("logout", "POST", "/logout", form=pairs)
        return Shot("logout", "GET", "/logout", pairs)

    def _document(self, draw: random.Random) -> Shot:
        paths = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/jwks.json"]
        paths += ["/openapi.json", "/session/check", "/healthz", "/readyz", "/static/base.css", "/accessibilite"]
        return Shot("document", "GET", draw.choice(paths))

    def _page(self, draw: random.Random) -> Shot:
        token = base64.urlsafe_b64encode(draw.randbytes(32)).rstrip(b"=").decode()
        paths = ["/mon-compte", "/mon-compte/adresse", "/mon-compte/sessions", "/mon-compte/charte/1", "/activation"]
        paths += ["/authorize/resume", "/authorize/refus", "/charte", "/profil", "/connexion", "/adresse/confirmation"]
        paths += [f"/adresse/lien/{token}", f"/mot-de-passe/lien/{token}", f"/adresse/contestation/{token}"]
        return Shot("page", "GET", draw.choice(paths), [("demande", token), ("ui_locales", "fr")])

    def _form(self, draw: random.Random) -> Shot:
        fields = {
            "/profil": [("profil", "parent")],
            "/connexion": [("identifiant", "personne"), ("mot-de-passe", "")],
            "/identifiant-oublie": [("adresse", "personne@exemple.fr")],
            "/mot-de-passe-oublie": [("identifiant", "personne")],
            "/logout": [("client_id", self.secret.client_id)],
        }
        path = draw.choice(list(fields))
        return Shot("form", "POST", path, form=[("csrf_token", self.form_token), *fields[path]])

    def sender(self, shot: Shot) -> FlaskClient:
        """Return whose browser sends a request: what may sign out does not share the session of the others."""
        if shot.name in {"logout", "form"}:
            return self.leaving if shot.name == "logout" else self.stranger
        return self.browser
