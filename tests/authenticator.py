"""A passkey in software (WebAuthn Level 3): ES256, attestation `none`, written without the product's code."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from flask.testing import FlaskClient

from tests.databases import DESK, ISSUER
from tests.pages import form_token

HOST = DESK.removeprefix("https://")
PARENTS_HOST = ISSUER.removeprefix("https://")
_PRESENT, _VERIFIED, _COPYABLE, _ATTESTED = 0x01, 0x04, 0x18, 0x40


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """An authenticator with one key pair. Its attributes may be changed to misbehave.

    Attributes:
        origin: the origin that the browser reports.
        rp_id: the relying party's id that the key signs.
        is_verified: whether the person was verified.
        is_copyable: whether the key is copied to the person's other devices.
        is_framed: whether the page is in a frame of another site.
        count: the sign counter; it grows by `step` with each signature.
    """

    origin: str = DESK
    rp_id: str = HOST
    is_verified: bool = True
    is_copyable: bool = False
    is_framed: bool = False
    count: int = 0
    step: int = 1
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP256R1()))
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""

    def create(self, options: dict[str, Any]) -> str:
        self.user_handle = raw(options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + cbor2.dumps(public)
        data = self._data(_ATTESTED) + attested
        statement = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(self._client_data("webauthn.create", options), attestationObject=b64(statement))

    def get(self, options: dict[str, Any]) -> str:
        self.count += self.step
        data, client_data = self._data(0), self._client_data("webauthn.get", options)
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ECDSA(SHA256()))
        return self._answer(
            client_data, authenticatorData=b64(data), signature=b64(signature), userHandle=b64(self.user_handle)
        )

    def _data(self, flags: int) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.is_verified else 0) | (_COPYABLE if self.is_copyable else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4)

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        client_data = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        client_data["crossOrigin"] = self.is_framed
        return json.dumps(client_data).encode()

    def _answer(self, client_data: bytes, **response: str) -> str:
        return json.dumps(
            {
                "id": b64(self.credential_id),
                "rawId": b64(self.credential_id),
                "type": "public-key",
                "response": {"clientDataJSON": b64(client_data), **response},
                "clientExtensionResults": {},
            }
        )


def key_of_parent(**more: Any) -> Authenticator:
    return Authenticator(origin=ISSUER, rp_id=PARENTS_HOST, **more)


def options(browser: FlaskClient, path: str, page: str) -> dict[str, Any]:
    answer = browser.post(path, data={"csrf_token": form_token(browser.get(page))})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(json.loads(answer.get_data(as_text=True)))
