"""The registered client of the scenarios: it sends the requests and checks the answers.

Every answer is checked: one that a relying party would refuse is an error of the run.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bench.transport import Answer, Transport

SCOPES = "openid profile email ent charter offline_access"
_SAMPLED = 25
"""One ID token in so many is stored and verified after the run: verifying costs the driver time."""


class WrongAnswerError(Exception):
    """The service gave another answer than the scenario expects."""


def expect(answer: Answer, status: int, step: str) -> Answer:
    """Return `answer` if it has that status."""
    if answer.status != status:
        raise WrongAnswerError(f"{step}: {answer.status} instead of {status}: {answer.body[:200]!r}")
    return answer


@dataclass(frozen=True, slots=True)
class Attempt:
    """One authorization request, and the values that its answer must match."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class Sample:
    """An ID token to verify, and the values that it must match."""

    id_token: str
    access_token: str
    nonce: str


class Party:
    """A confidential client (`client_secret_basic`, PKCE S256)."""

    def __init__(self, issuer: str, client_id: str, secret: str, redirect_uri: str) -> None:
        self._secret = secret
        self.issuer = issuer
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.samples: list[Sample] = []
        self._seen = 0
        basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        self._proof = {"Authorization": f"Basic {basic}"}

    def twin(self) -> Self:
        """Return the same client with samples of its own."""
        return type(self)(self.issuer, self.client_id, self._secret, self.redirect_uri)

    def request(self, attempt: Attempt) -> str:
        """Return the URL of an authorization request."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": SCOPES,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _b64(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "login_hint": "profil:parent",
        }
        return f"/authorize?{urlencode(parameters)}"

    def code(self, answer: Answer, attempt: Attempt) -> str:
        """Return the code that the authorization endpoint sends (RFC 6749 4.1.2, RFC 9207)."""
        location = expect(answer, 303, "authorize").headers.get("location", "")
        url, _, query = location.partition("?")
        parameters = dict(parse_qsl(query))
        is_expected = (
            url == self.redirect_uri
            and parameters.get("state") == attempt.state
            and parameters.get("iss") == self.issuer
        )
        if not is_expected or "code" not in parameters:
            raise WrongAnswerError(f"authorize: no code: {location[:200]}")
        return parameters["code"]

    async def exchange(self, transport: Transport, code: str, attempt: Attempt) -> dict[str, Any]:
        """Exchange a code for its tokens."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        tokens = _tokens(await transport.send("POST", "/token", self._proof, form))
        if "id_token" not in tokens:
            raise WrongAnswerError("token: no ID token")
        self._seen += 1
        if self._seen % _SAMPLED == 1:
            self.samples.append(Sample(tokens["id_token"], tokens["access_token"], attempt.nonce))
        return tokens

    async def refresh(self, transport: Transport, refresh_token: str) -> dict[str, Any]:
        """Exchange a refresh token for the next pair."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        tokens = _tokens(await transport.send("POST", "/token", self._proof, form))
        if tokens.get("refresh_token") in {None, refresh_token}:
            raise WrongAnswerError("refresh: the refresh token was not rotated")
        return tokens

    async def userinfo(self, transport: Transport, access_token: str) -> dict[str, Any]:
        """Return the claims that an access token releases."""
        bearer = {"Authorization": f"Bearer {access_token}"}
        answer = expect(await transport.send("GET", "/userinfo", bearer, None), 200, "userinfo")
        claims: dict[str, Any] = json.loads(answer.body)
        if not claims.get("sub") or not claims.get("children"):
            raise WrongAnswerError(f"userinfo: claims are missing: {sorted(claims)}")
        return claims

    async def verify_samples(self, transport: Transport) -> list[str]:
        """Return the faults of the sampled ID tokens (OpenID Connect Core 3.1.3.7), and delete the samples."""
        answer = expect(await transport.send("GET", "/jwks.json", {}, None), 200, "jwks")
        published = KeySet.import_key_set(json.loads(answer.body))
        samples, self.samples, self._seen = self.samples, [], 0
        return [fault for sample in samples if (fault := self._fault(sample, published))]

    def _fault(self, sample: Sample, published: KeySet) -> str:
        half = hashlib.sha256(sample.access_token.encode()).digest()[:16]
        claims: dict[str, Any] = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.client_id},
            "nonce": {"essential": True, "value": sample.nonce},
            "at_hash": {"essential": True, "value": _b64(half)},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        try:
            token = jwt.decode(sample.id_token, published, algorithms=["RS256"])
            jwt.JWTClaimsRegistry(**claims).validate(token.claims)
        except JoseError as error:
            return f"an ID token is not valid: {error}"
        return ""


def _tokens(answer: Answer) -> dict[str, Any]:
    tokens: dict[str, Any] = json.loads(expect(answer, 200, "token").body)
    if not tokens.get("access_token"):
        raise WrongAnswerError("token: no access token")
    return tokens


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
