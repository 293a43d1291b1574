"""A client with keys, written with `cryptography` alone: DPoP proofs, client assertions, a FAPI 2.0 sign-in."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.relying_party import Attempt, RelyingParty
from tests.signatures import b64

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def whole(number: int) -> str:
    """Encode a number of a JWK (RFC 7518 2, Base64urlUInt)."""
    return b64(number.to_bytes((number.bit_length() + 7) // 8))


def coordinate(number: int) -> str:
    """Encode a coordinate of P-256 in 32 octets (RFC 7518 6.2.1.2)."""
    return b64(number.to_bytes(32))


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Return the thumbprint of a JWK that has the required members only (RFC 7638 3)."""
    return b64(hashlib.sha256(json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()).digest())


@dataclass
class Key:
    alg: str
    private: PrivateKey

    @classmethod
    def new(cls, alg: str = "ES256") -> "Key":
        if alg == "ES256":
            return cls(alg, ec.generate_private_key(ec.SECP256R1()))
        if alg in {"EdDSA", "Ed25519"}:  # two names of one algorithm (RFC 9864 2.2)
            return cls(alg, ed25519.Ed25519PrivateKey.generate())
        return cls(alg, rsa.generate_private_key(65537, 2048))

    @property
    def jwk(self) -> dict[str, str]:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            point = self.private.public_key().public_numbers()
            return {"kty": "EC", "crv": "P-256", "x": coordinate(point.x), "y": coordinate(point.y)}
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self.private.public_key().public_bytes_raw())}
        numbers = self.private.public_key().public_numbers()
        return {"kty": "RSA", "n": whole(numbers.n), "e": whole(numbers.e)}

    @property
    def secret_jwk(self) -> dict[str, str]:
        """The private key as a JWK, which no proof may contain."""
        assert isinstance(self.private, ec.EllipticCurvePrivateKey)
        return {**self.jwk, "d": coordinate(self.private.private_numbers().private_value)}

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.jwk)

    @property
    def kid(self) -> str:
        return self.thumbprint[:8]

    def sign(self, head: Any, body: Any) -> str:
        """Return a compact JWS (RFC 7515 7.1), signed by this key whatever the header says."""
        signed = f"{written(head)}.{written(body)}"
        return f"{signed}.{b64(self.signature(signed.encode()))}"

    def signature(self, signed: bytes) -> bytes:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(signed)
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return self.private.sign(signed, pss if self.alg == "PS256" else padding.PKCS1v15(), hashes.SHA256())

    def proof(self, method: str, url: str, token: str | None = None, **changes: Any) -> str:
        """Return a DPoP proof (RFC 9449 4.2). `changes` replaces claims; None leaves a claim out.

        `head` replaces members of the header in the same way.
        """
        head = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.jwk, **changes.pop("head", {})}
        body = {"jti": secrets.token_urlsafe(12), "htm": method, "htu": url, "iat": int(time.time())}
        if token is not None:
            body["ath"] = b64(hashlib.sha256(token.encode()).digest())
        return self.sign(without(head), without({**body, **changes}))


def written(part: Any) -> str:
    """Return a part of a JWS; bytes are encoded as they are."""
    return b64(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())


def without(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


@dataclass
class KeyedParty(RelyingParty):
    """A relying party with keys: `client`, if present, signs its assertions, `key` its DPoP proofs."""

    client: Key | None = None
    key: Key = field(default_factory=Key.new)

    @classmethod
    def of(cls, ent: RelyingParty, client: Key | None = None, key: Key | None = None) -> "KeyedParty":
        plain = (ent.issuer, ent.client_id, ent.secret, ent.redirect_uri, ent.scopes)
        return cls(*plain, client=client, key=key or Key.new())

    def assertion(self, **changes: Any) -> dict[str, str]:
        """Return the form fields of `private_key_jwt` (RFC 7523 2.2)."""
        assert self.client
        moment = int(time.time())
        body = {"iss": self.client_id, "sub": self.client_id, "aud": self.issuer, "jti": secrets.token_urlsafe(12)}
        head = {"alg": self.client.alg, "kid": self.client.kid, "typ": "JWT"}
        text = self.client.sign(head, without({**body, "iat": moment, "exp": moment + 60, **changes}))
        return {"client_id": self.client_id, "client_assertion_type": ASSERTION_TYPE, "client_assertion": text}

    def post(self, browser: FlaskClient, path: str, form: Mapping[str, str | None], proof: str | None) -> TestResponse:
        """Send a form to a back-channel endpoint, with the client's authentication."""
        proved: Mapping[str, str | None] = self.assertion() if self.client else {"client_id": self.client_id}
        headers = self.basic() if self.secret else {}
        if proof is not None:
            headers["DPoP"] = proof
        return browser.post(path, data=without({**proved, **form}), headers=headers)

    def push(
        self, browser: FlaskClient, attempt: Attempt, proof: str | None = None, **changes: str | None
    ) -> TestResponse:
        """Push an authorization request (RFC 9126 2.1)."""
        parameters = dict(parse_qsl(urlsplit(self.url(attempt)).query))
        return self.post(browser, "/par", {**parameters, **changes}, proof)

    def opened(self, request_uri: str, **more: str) -> str:
        return f"/authorize?{urlencode({'client_id': self.client_id, 'request_uri': request_uri, **more})}"

    def pushed(self, browser: FlaskClient, attempt: Attempt, proof: str | None = None, **changes: str | None) -> str:
        response = self.push(browser, attempt, proof, **changes)
        assert response.status_code == 201, response.get_data(as_text=True)
        return str(response.get_json()["request_uri"])

    def fresh_proof(self, path: str = "/token", method: str = "POST", token: str | None = None) -> str:
        return self.key.proof(method, f"{self.issuer}{path}", token)

    def redeem(
        self, browser: FlaskClient, code: str, attempt: Attempt, proof: str | None, **changes: str | None
    ) -> TestResponse:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri}
        return self.post(browser, "/token", {**form, "code_verifier": attempt.verifier, **changes}, proof)

    def renew(self, browser: FlaskClient, refresh_token: str, proof: str | None) -> TestResponse:
        return self.post(browser, "/token", {"grant_type": "refresh_token", "refresh_token": refresh_token}, proof)

    def resource(
        self,
        browser: FlaskClient,
        token: str,
        proof: str | None = None,
        *,
        path: str = "/userinfo",
        scheme: str = "DPoP",
        method: str = "GET",
    ) -> TestResponse:
        headers = without({"Authorization": f"{scheme} {token}", "DPoP": proof})
        return browser.open(path, method=method, headers=headers)

    def read_userinfo(self, browser: FlaskClient, token: str) -> dict[str, Any]:
        response = self.resource(browser, token, self.fresh_proof("/userinfo", "GET", token))
        assert response.status_code == 200, response.get_data(as_text=True)
        return dict(response.get_json())
