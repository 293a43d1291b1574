"""A relying party that behaves like the ENTs of the entcore family, as far as their behaviour is known.

Each endpoint is configured separately. It uses no PKCE and no percent-encoding. It reads RSA keys from certificates, or
else from `n` and `e` as signed numbers. It finds parents by `sub` or, with SAML, by FrEduVecteur.
"""

import base64
import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask.testing import FlaskClient

SCOPE = "openid profile"  # fixed in its code
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "RS256": hashes.SHA256(),
    "RS384": hashes.SHA384(),
    "RS512": hashes.SHA512(),
}


class RefusedError(Exception):
    """The sign-in fails, and the parent sees an empty 403. The message is the reason."""


@dataclass(frozen=True)
class Departure:
    """The content of the signed cookie of a sign-in in progress, and the URL of the request."""

    state: str
    nonce: str
    url: str

    @property
    def query(self) -> str:
        return self.url.partition("?")[2]


@dataclass
class EntcoreParty:
    """The ENT. `settings` is an entry of `openid-federate.domains`; `server` sends requests without cookies.

    `users` are the ENT's users by `externalId`.
    """

    settings: dict[str, Any]
    server: FlaskClient
    users: dict[str, str] = field(default_factory=dict)
    keys: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)

    def leave(self, landing: str = "") -> Departure:
        """Return the authorization request; `landing` is the requested page of the ENT."""
        state = f"{uuid.uuid4()}:{landing}" if landing else str(uuid.uuid4())
        nonce = secrets.token_hex(16)
        url = (
            f"{self.settings['uri']}{self.settings['authorizeUrn']}?response_type=code"
            f"&client_id={self.settings['clientId']}&state={state}&nonce={nonce}"
            f"&redirect_uri={self.settings['redirectUri']}&scope={SCOPE}"
        )
        return Departure(state, nonce, url)

    def receive(self, location: str, departure: Departure) -> dict[str, Any]:
        """Return the claims after the redirect to `location`: those of UserInfo over those of the ID token."""
        tokens = self.tokens(location, departure)
        claims = self.payload(tokens["id_token"])
        if claims.get("nonce", departure.nonce) != departure.nonce:
            raise RefusedError("nonce")
        return claims | self._user_info(tokens["access_token"])

    def tokens(self, location: str, departure: Departure) -> dict[str, Any]:
        url, _, query = location.partition("?")
        answer = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        if url != self.settings["redirectUri"] or answer.get("state") != departure.state or "code" not in answer:
            raise RefusedError(f"callback: {location}")
        client_id, secret = self.settings["clientId"], self.settings["secret"]
        body = f"grant_type=authorization_code&redirect_uri={self.settings['redirectUri']}&code={answer['code']}"
        headers = {}
        if self.settings["basic-to-get-token"]:
            headers["Authorization"] = f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"
        else:
            body += f"&client_id={client_id}&client_secret={secret}"
        response = self.server.post(
            self.settings["tokenUrn"],
            base_url=self.settings["uri"],
            data=body,
            headers=headers,
            content_type="application/x-www-form-urlencoded",
        )
        if response.status_code != 200 or not response.is_json:
            raise RefusedError(f"token: {response.get_data(as_text=True)}")
        return dict(response.get_json())

    def payload(self, token: str) -> dict[str, Any]:
        """Return the claims of an ID token; entcore does not check `aud`."""
        parts = token.split(".")
        if len(parts) != 3:
            raise RefusedError("parts")
        header, claims = (json.loads(_unb64(part)) for part in parts[:2])
        if not header.get("kid"):
            raise RefusedError("kid")
        if not self._signed(header, ".".join(parts[:2]).encode(), _unb64(parts[2])):
            raise RefusedError("signature")
        for name, right in (
            ("iss", claims.get("iss") == self.settings["iss"]),
            ("exp", claims.get("exp", 0) > time.time()),
            ("sub", bool(claims.get("sub"))),
        ):
            if not right:
                raise RefusedError(name)
        return dict(claims)

    def fetch_keys(self) -> None:
        """Read the JWKS at the path of `certsUri`; leave out keys that cannot be built."""
        path = urlsplit(self.settings["certsUri"]).path
        self.keys = {}
        for jwk in self.server.get(path, base_url=self.settings["uri"]).get_json()["keys"]:
            try:
                self.keys[jwk["kid"]] = read_key(jwk)
            except ValueError:
                continue

    def user(self, claims: dict[str, Any]) -> str:
        if claims["sub"] not in self.users:
            raise RefusedError("unknown externalId")
        return self.users[claims["sub"]]

    def _signed(self, header: dict[str, Any], signed: bytes, signature: bytes) -> bool:
        alg = header.get("alg")
        if alg not in _RSA_HASHES:
            raise RefusedError("alg")
        if header["kid"] not in self.keys:
            self.fetch_keys()
        key = self.keys.get(header["kid"])
        try:
            if key is not None:
                key.verify(signature, signed, padding.PKCS1v15(), _RSA_HASHES[alg])
        except InvalidSignature:
            return False
        return key is not None

    def _user_info(self, access_token: str) -> dict[str, Any]:
        response = self.server.get(
            self.settings["userInfoUrn"],
            base_url=self.settings["uri"],
            headers={"Authorization": f"Bearer {access_token}"},
        )
        return dict(response.get_json() if response.status_code == 200 and response.is_json else {})


def read_key(jwk: dict[str, Any]) -> rsa.RSAPublicKey:
    if "x5c" in jwk:
        key = x509.load_der_x509_certificate(base64.b64decode(jwk["x5c"][0])).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        return key
    modulus, exponent = (int.from_bytes(_unb64(jwk[name]), "big", signed=True) for name in "ne")
    if exponent > modulus:
        raise ValueError("exponent is larger than modulus")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
