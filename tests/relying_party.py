"""A strict relying party: PKCE, parsing of responses and verification of the ID token, without the provider's code."""

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests import signatures


@dataclass
class Attempt:
    """One authorization request, and the values that its response must match."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        return signatures.b64(hashlib.sha256(self.verifier.encode()).digest())


@dataclass
class RelyingParty:
    issuer: str
    client_id: str
    secret: str | None
    redirect_uri: str
    scopes: list[str]

    def url(self, attempt: Attempt, **changes: str | None) -> str:
        """Return the URL of the authorization request; a change to None leaves the parameter out."""
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile email ent charter",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
            "login_hint": "profil:parent",
            **changes,
        }
        return f"/authorize?{urlencode({k: v for k, v in parameters.items() if v is not None})}"

    def answer(self, response: TestResponse) -> dict[str, str]:
        location = response.headers["Location"]
        assert location.startswith(f"{self.redirect_uri}?"), location
        pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)
        answer = dict(pairs)
        assert len(answer) == len(pairs)
        assert answer["iss"] == self.issuer
        return answer

    def basic(self) -> dict[str, str]:
        raw = f"{quote(self.client_id, safe='')}:{quote(self.secret or '', safe='')}"
        return {"Authorization": f"Basic {base64.b64encode(raw.encode()).decode()}"}

    def exchange(self, browser: FlaskClient, code: str, attempt: Attempt, **changes: str | None) -> TestResponse:
        body: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": attempt.verifier,
            **({} if self.secret else {"client_id": self.client_id}),
            **changes,
        }
        headers = self.basic() if self.secret else {}
        return browser.post("/token", data={k: v for k, v in body.items() if v is not None}, headers=headers)

    def refresh(self, browser: FlaskClient, refresh_token: str, **changes: str | None) -> TestResponse:
        body: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            **({} if self.secret else {"client_id": self.client_id}),
            **changes,
        }
        headers = self.basic() if self.secret else {}
        return browser.post("/token", data={k: v for k, v in body.items() if v is not None}, headers=headers)

    def tokens(self, browser: FlaskClient, code: str, attempt: Attempt) -> dict[str, Any]:
        response = self.exchange(browser, code, attempt)
        assert response.status_code == 200, response.get_data(as_text=True)
        body: dict[str, Any] = response.get_json()
        body["claims"] = self.verify(browser, body["id_token"], attempt, body["access_token"])
        return body

    def verify(self, browser: FlaskClient, token: str, attempt: Attempt, access_token: str) -> dict[str, Any]:
        """Verify the ID token of a sign-in (OpenID Connect Core 3.1.3.7)."""
        claims = self.read(browser, token)
        assert claims.get("nonce") == attempt.nonce
        assert claims["at_hash"] == signatures.at_hash(signatures.read(token)[0]["alg"], access_token)
        return claims

    def read(self, browser: FlaskClient, token: str) -> dict[str, Any]:
        _, claims = signatures.read(token)
        signatures.verified(token, signatures.by_name(browser.get("/jwks.json").get_json()))
        assert claims["iss"] == self.issuer
        assert claims["aud"] == self.client_id
        assert claims["azp"] == self.client_id
        assert claims["exp"] > time.time() >= claims["iat"] - 5
        return dict(claims)

    def userinfo(self, browser: FlaskClient, access_token: str) -> TestResponse:
        return browser.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})
