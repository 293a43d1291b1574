"""Ed25519 keys that are points of small order: anybody can forge signatures for them without a private key."""

import secrets
import time

import pytest
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.oidc.keys import jose
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty, written
from tests.protocol.flow import code_for, refused
from tests.protocol.registering import register
from tests.relying_party import Attempt
from tests.rows import each_row
from tests.signatures import b64

FIELD = 2**255 - 19
_D = -121665 * pow(121666, -1, FIELD) % FIELD
_ROOT = pow(2, (FIELD - 1) // 4, FIELD)
ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
SMALL = {
    "identity": 1,
    "order 2": FIELD - 1,
    "order 4": 0,
    "order 8": ORDER_8,
    "order 8, the other": FIELD - ORDER_8,
    "identity, not reduced": FIELD + 1,
    "order 4, not reduced": FIELD,
}
ANYBODYS = b64((1).to_bytes(32, "little") + bytes(32))
"""A forged signature: R is the identity, S is zero."""

Point = tuple[int, int]


def encoded(y: int, sign: int = 0) -> str:
    """Return the encoding of a point (RFC 8032 5.1.2)."""
    return b64((y + (sign << 255)).to_bytes(32, "little"))


def point(y: int) -> Point:
    """Return a point with this y (RFC 8032 5.1.3)."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * _ROOT % FIELD
    assert (x * x - square) % FIELD == 0, "on the curve"
    return x, y % FIELD


def added(left: Point, right: Point) -> Point:
    """Add two points (RFC 8032 5.1.4)."""
    (a, b), (c, d) = left, right
    both = _D * a * b * c * d
    return (
        (a * d + b * c) * pow(1 + both, -1, FIELD) % FIELD,
        (b * d + a * c) * pow(1 - both, -1, FIELD) % FIELD,
    )


@pytest.mark.row("X-02")
@each_row("y", SMALL.values())
def test_a_key_of_small_order_is_refused(y: int) -> None:
    """RFC 8725, 3.4."""
    eightfold = point(y)
    for _ in range(3):
        eightfold = added(eightfold, eightfold)
    assert eightfold == (0, 1), "of order 8 at most"
    for sign in (0, 1):
        with pytest.raises(jose.InvalidTokenError, match="anybody can sign"):
            jose.public_key({"kty": "OKP", "crv": "Ed25519", "x": encoded(y, sign)}, "EdDSA")


@pytest.mark.row("X-02")
def test_generated_keys_are_accepted() -> None:
    """RFC 8037, 2."""
    for _ in range(50):
        assert jose.public_key(Key.new("EdDSA").jwk, "EdDSA")
    for odd in ("", "A", "é", "=" * 43, "A" * 42):
        with pytest.raises(jose.InvalidTokenError):
            jose.public_key({"kty": "OKP", "crv": "Ed25519", "x": odd}, "EdDSA")


@pytest.mark.row("X-02")
def test_a_proof_with_a_key_of_small_order_is_refused(browser: FlaskClient, build: Build, session: Account) -> None:
    """RFC 9449, 4.3."""
    party, attempt = KeyedParty.of(build.ent()), Attempt()
    code = code_for(browser, party, attempt)
    body = {"jti": secrets.token_urlsafe(12), "htm": "POST", "htu": f"{party.issuer}/token", "iat": int(time.time())}
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encoded(1)}
    proof = f"{written({'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': jwk})}.{written(body)}.{ANYBODYS}"
    refused(party.redeem(browser, code, attempt, proof), "invalid_dpop_proof")
    assert party.redeem(browser, code, attempt, party.fresh_proof()).status_code == 200


@pytest.mark.row("X-02")
def test_a_key_of_small_order_is_not_registered(browser: FlaskClient, invitation: str) -> None:
    """RFC 7591, 3.2.2."""
    weak = {"kty": "OKP", "crv": "Ed25519", "x": encoded(1), "alg": "EdDSA", "kid": "1", "use": "sig"}
    metadata = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [weak]}}
    refused(register(browser, invitation, **metadata), "invalid_client_metadata")
    strong = {"keys": [{**Key.new("EdDSA").jwk, "alg": "EdDSA", "kid": "1", "use": "sig"}]}
    assert register(browser, invitation, **{**metadata, "jwks": strong}).status_code == 201
