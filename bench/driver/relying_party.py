"""The registered client of the scenarios: it sends the requests and checks the answers.

Every answer is checked: an answer that a relying party would refuse is an error of the run.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bench.driver.provider import Provider
from bench.driver.transport import Answer, Transport

DISCOVERY = "/.well-known/openid-configuration"
_SAMPLED = 25
"""One ID token in so many is stored and verified after the run: verifying costs the driver time."""
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
_REDIRECTS = frozenset({302, 303})


class WrongAnswerError(Exception):
    """The provider gave another answer than the scenario expects, with this status (0: it was not about the status)."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def expect(answer: Answer, status: int, step: str) -> Answer:
    """Return `answer` if it has that status."""
    if answer.status != status:
        message = f"{step}: {answer.status} instead of {status}: {answer.body[:200]!r}"
        raise WrongAnswerError(message, answer.status)
    return answer


@dataclass(frozen=True, slots=True)
class Attempt:
    """One authorization request, and the values that its answer must match."""

    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))


@dataclass(frozen=True, slots=True)
class Sample:
    """An ID token to verify, and the values that it must match; no nonce after a refresh (Core 12.2)."""

    id_token: str
    access_token: str
    nonce: str | None


class Party:
    """A confidential client of a provider, whose endpoints it knows by discovery."""

    def __init__(self, provider: Provider, metadata: dict[str, Any]) -> None:
        self.provider = provider
        if metadata.get("issuer") != provider.issuer:
            raise WrongAnswerError(f"discovery: another issuer: {metadata.get('issuer')}")
        self._authorize, self.token, self._userinfo, self.jwks = (self.path(metadata[name]) for name in _ENDPOINTS)
        self._client = provider.client
        basic = base64.b64encode(f"{self._client.client_id}:{self._client.secret}".encode()).decode()
        self._proof = {"Authorization": f"Basic {basic}"}
        self.samples: list[Sample] = []
        self._seen = 0

    @classmethod
    async def discover(cls, provider: Provider, transport: Transport) -> "Party":
        """Read the provider's metadata.

        Raises:
            WrongAnswerError: there is none, or it names another issuer or an endpoint elsewhere.
        """
        answer = expect(await transport.send("GET", DISCOVERY, {}, None), 200, "discovery")
        return cls(provider, json.loads(answer.body))

    def path(self, url: str) -> str:
        """Return the path and query of a URL of the provider; a relative URL is returned as it is.

        Raises:
            WrongAnswerError: the URL leads elsewhere.
        """
        path = url.removeprefix(self.provider.issuer)
        if not path.startswith("/"):
            raise WrongAnswerError(f"not a URL of the provider: {url[:200]}")
        return path

    def request(self, attempt: Attempt) -> str:
        """Return the URL of an authorization request."""
        parameters = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._client.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _b64(hashlib.sha256(attempt.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            **self._client.parameters,
        }
        return f"{self._authorize}?{urlencode(parameters)}"

    def redirect(self, answer: Answer) -> str | None:
        """Return where a redirect leads; None for another answer."""
        return answer.headers.get("location") if answer.status in _REDIRECTS else None

    def is_callback(self, location: str) -> bool:
        """Return whether a redirect leads back to the client."""
        return location.partition("?")[0] == self._client.redirect_uri

    def code(self, answer: Answer, attempt: Attempt) -> str:
        """Return the code that the authorization endpoint sends (RFC 6749 4.1.2, RFC 9207).

        Raises:
            WrongAnswerError: there is none, or its state or issuer is wrong.
        """
        location = self.redirect(answer)
        if location is None:
            raise WrongAnswerError(f"authorize: {answer.status} instead of a redirect: {answer.body[:200]!r}")
        parameters = dict(parse_qsl(location.partition("?")[2]))
        is_expected = (
            self.is_callback(location)
            and parameters.get("state") == attempt.state
            and parameters.get("iss", self.provider.issuer) == self.provider.issuer
        )
        if not is_expected or "code" not in parameters:
            raise WrongAnswerError(f"authorize: no code: {location[:200]}")
        return parameters["code"]

    async def exchange(self, transport: Transport, code: str, attempt: Attempt) -> dict[str, Any]:
        """Exchange a code for its tokens."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        tokens = await self._tokens(transport, form)
        self._sample(Sample(tokens["id_token"], tokens["access_token"], attempt.nonce))
        return tokens

    async def refresh(self, transport: Transport, refresh_token: str) -> dict[str, Any]:
        """Exchange a refresh token for the next tokens."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        tokens = await self._tokens(transport, form)
        if tokens["refresh_token"] == refresh_token:
            raise WrongAnswerError("refresh: the refresh token was not rotated")
        self._sample(Sample(tokens["id_token"], tokens["access_token"], None))
        return tokens

    async def _tokens(self, transport: Transport, form: dict[str, str]) -> dict[str, Any]:
        answer = await transport.send("POST", self.token, self._proof, form)
        tokens: dict[str, Any] = json.loads(expect(answer, 200, "token").body)
        for name in ("access_token", "refresh_token", "id_token"):
            if not tokens.get(name):
                raise WrongAnswerError(f"token: no {name}")
        return tokens

    def _sample(self, sample: Sample) -> None:
        """Keep one ID token in so many."""
        self._seen += 1
        if self._seen % _SAMPLED == 1:
            self.samples.append(sample)

    async def userinfo(self, transport: Transport, access_token: str) -> dict[str, Any]:
        """Return the claims that an access token releases."""
        bearer = {"Authorization": f"Bearer {access_token}"}
        answer = expect(await transport.send("GET", self._userinfo, bearer, None), 200, "userinfo")
        claims: dict[str, Any] = json.loads(answer.body)
        if not all(claims.get(name) for name in self.provider.claims):
            raise WrongAnswerError(f"userinfo: claims are missing: {sorted(claims)}")
        return claims

    async def verify_samples(self, transport: Transport) -> tuple[int, list[str]]:
        """Verify the sampled ID tokens (OpenID Connect Core 3.1.3.7), and delete them.

        Returns:
            How many were verified, and a sentence for each fault.
        """
        if not self.samples:
            return 0, []
        answer = expect(await transport.send("GET", self.jwks, {}, None), 200, "jwks")
        published = KeySet.import_key_set(json.loads(answer.body))
        samples, self.samples, self._seen = self.samples, [], 0
        faults = [fault for sample in samples if (fault := self._fault(sample, published))]
        return len(samples), faults

    def _fault(self, sample: Sample, published: KeySet) -> str:
        half = hashlib.sha256(sample.access_token.encode()).digest()[:16]
        claims: dict[str, Any] = {
            "iss": {"essential": True, "value": self.provider.issuer},
            "aud": {"essential": True, "value": self._client.client_id},
            "at_hash": {"essential": self.provider.at_hash, "value": _b64(half)},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        if sample.nonce:
            claims["nonce"] = {"essential": True, "value": sample.nonce}
        try:
            token = jwt.decode(sample.id_token, published, algorithms=["RS256"])
            jwt.JWTClaimsRegistry(**claims).validate(token.claims)
        except (JoseError, ValueError) as error:
            return f"an ID token is not valid: {error}"
        return ""


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
