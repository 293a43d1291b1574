"""`clients.kit` on logout tokens: each valid form is accepted, and each rule refuses a token."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from clients.kit import Provider
from clients.kit.checks import CheckError
from tests.clients.conftest import change
from tests.clients.fake_provider import (
    CLIENT_ID,
    EC,
    OTHER_RSA,
    RSA,
    Claims,
    FakeProvider,
    signed_with_public_key,
    unsigned,
)
from tests.clients.kit_steps import registered
from tests.rows import each_row
from tests.signatures import b64

EVENT = "http://schemas.openid.net/event/backchannel-logout"
SUB = FakeProvider.sub


def claims_of(provider: FakeProvider, **changes: object) -> Claims:
    moment = int(time.time())
    return change(**changes)(
        {
            "iss": provider.issuer,
            "sub": SUB,
            "aud": CLIENT_ID,
            "iat": moment,
            "exp": moment + 120,
            "jti": f"jti-{time.monotonic_ns()}",
            "events": {EVENT: {}},
            "sid": "sid-1",
        }
    )


def signed(claims: Claims, key: RSAKey | ECKey = RSA, **header: Any) -> str:
    alg = "ES256" if isinstance(key, ECKey) else "RS256"
    head = {"alg": alg, "kid": key.kid, "typ": "logout+jwt", **header}
    return jwt.encode({k: v for k, v in head.items() if v is not None}, claims, key, algorithms=[alg])


def forged(claims: Claims, **header: object) -> str:
    head = {"alg": "RS256", "kid": "rsa-1", "typ": "logout+jwt", **header}
    head = {name: value for name, value in head.items() if value is not None}
    signing = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    assert RSA.private_key is not None
    signature = RSA.private_key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signing}.{b64(signature)}"


@each_row(
    ("changes", "named"),
    [
        ({}, (SUB, "sid-1")),
        ({"sub": None}, (None, "sid-1")),
        ({"sid": None}, (SUB, None)),
        ({"aud": [CLIENT_ID]}, (SUB, "sid-1")),
        ({"events": {EVENT: {}, "https://exemple.fr/other": {}}}, (SUB, "sid-1")),
    ],
)
def test_each_form_that_the_specification_allows_is_accepted(
    provider: FakeProvider, changes: dict[str, object], named: tuple[str | None, str | None]
) -> None:
    token = Provider(registered(provider)).checks.logout_token(signed(claims_of(provider, **changes)))
    assert (token.sub, token.sid) == named


@each_row(
    "header",
    [
        {"typ": "LOGOUT+JWT"},
        {"typ": "application/logout+jwt"},
        {"typ": None},
        {"kid": None},
        {"typ": None, "kid": None},
    ],
)
def test_the_type_is_a_media_type_and_may_be_left_out_as_the_key_s_name(
    provider: FakeProvider, header: dict[str, str | None]
) -> None:
    # Back-Channel Logout 1.0, 2.4: the explicit type is recommended, not required.
    token = forged(claims_of(provider), **header)
    assert Provider(registered(provider)).checks.logout_token(token).sub == SUB


FOREIGN, NO_ONE = "the token is for another client", "the token names neither a person nor a session"
NO_EVENT = "the token has no logout event"
NONCE, WRONG_TYPE = "the token has a nonce, as an ID token has", "the typ of the token is not that of logout_token"
NOT_RECENT, BROKEN = "the token was not issued recently", "the signature of the token cannot be checked"
NO_KEY = "the token is signed by a key that the provider does not publish"
NOT_A_JWT, OTHER_ALG = "the token is not a signed JWT", "the token is not signed with RS256, the registered algorithm"
LIES: dict[str, tuple[Callable[[FakeProvider], str], str]] = {
    "another provider": (
        lambda p: signed(claims_of(p, iss="https://ailleurs.example")),
        "the token comes from another provider",
    ),
    "no provider": (lambda p: signed(claims_of(p, iss=None)), "the token comes from another provider"),
    "another site": (lambda p: signed(claims_of(p, aud="autre")), FOREIGN),
    "two sites": (lambda p: signed(claims_of(p, aud=[CLIENT_ID, "autre"])), FOREIGN),
    "no site": (lambda p: signed(claims_of(p, aud=None)), FOREIGN),
    "expired": (lambda p: signed(claims_of(p, exp=int(time.time()) - 60)), "the token has expired"),
    "no end": (lambda p: signed(claims_of(p, exp=None)), "the token has no usable exp"),
    "old": (lambda p: signed(claims_of(p, iat=int(time.time()) - 900)), NOT_RECENT),
    "to come": (lambda p: signed(claims_of(p, iat=int(time.time()) + 900)), NOT_RECENT),
    "no date": (lambda p: signed(claims_of(p, iat=None)), "the token has no usable iat"),
    "a nonce": (lambda p: signed(claims_of(p, nonce="n")), NONCE),
    "an empty nonce": (lambda p: signed(claims_of(p, nonce="")), NONCE),
    "no event": (lambda p: signed(claims_of(p, events=None)), NO_EVENT),
    "another event": (lambda p: signed(claims_of(p, events={"https://exemple.fr/other": {}})), NO_EVENT),
    "an event that is no object": (lambda p: signed(claims_of(p, events={EVENT: True})), NO_EVENT),
    "events in a list": (lambda p: signed(claims_of(p, events=[EVENT])), NO_EVENT),
    "nobody": (lambda p: signed(claims_of(p, sub=None, sid=None)), NO_ONE),
    "an empty session": (lambda p: signed(claims_of(p, sid="")), "the token has no usable sid"),
    "a session that is a number": (lambda p: signed(claims_of(p, sid=1)), "the token has no usable sid"),
    "an endless session": (lambda p: signed(claims_of(p, sid="s" * 256)), "the token has no usable sid"),
    "a session that is no ASCII": (lambda p: forged(claims_of(p, sid="\ud800")), "the token has no usable sid"),
    "an empty person": (lambda p: signed(claims_of(p, sub="")), "the token has no usable sub"),
    "a person that is a list": (lambda p: signed(claims_of(p, sub=[SUB])), "the token has no usable sub"),
    "no name": (lambda p: signed(claims_of(p, jti=None)), "the token has no usable jti"),
    "an empty name": (lambda p: signed(claims_of(p, jti="")), "the token has no usable jti"),
    "the type of an ID token": (lambda p: signed(claims_of(p), typ="JWT"), WRONG_TYPE),
    "an empty type": (lambda p: signed(claims_of(p), typ=""), WRONG_TYPE),
    "a type that is no text": (lambda p: forged(claims_of(p), typ=["logout+jwt"]), BROKEN),
    "a name that is no ASCII": (lambda p: forged(claims_of(p, jti="\ud800")), "the token has no usable jti"),
    "a date without end": (lambda p: forged(claims_of(p, exp=float("inf"))), "the token has no usable exp"),
    "a date that is too large": (lambda p: forged(claims_of(p, exp=10**400)), "the token has no usable exp"),
    "an end that is no number": (lambda p: forged(claims_of(p, exp=float("nan"))), "the token has no usable exp"),
    "another signature than the one registered": (lambda p: signed(claims_of(p), EC), OTHER_ALG),
    "a part that must be understood": (
        lambda p: forged(claims_of(p), crit=["x"], x=1),
        "the token has an unsupported extension",
    ),
    "claims that are a list": (
        lambda _: forged([]),  # type: ignore[arg-type]  # that is the lie
        "the signature of the token is wrong",
    ),
    "a key of the same name that is not published": (
        lambda p: signed(claims_of(p), OTHER_RSA),
        "the signature of the token is wrong",
    ),
    "a key that is published nowhere": (lambda p: signed(claims_of(p), kid="inconnue"), NO_KEY),
    "no key's name, and another key": (
        lambda p: signed(claims_of(p), OTHER_RSA, kid=None),
        "the signature of the token is wrong",
    ),
    "no signature": (lambda p: unsigned(claims_of(p)), "the token is not signed"),
    "our public key as a shared secret": (lambda p: signed_with_public_key(claims_of(p)), OTHER_ALG),
    "no JWT": (lambda _: "a.b", NOT_A_JWT),
    "no text": (lambda _: "\x00", NOT_A_JWT),
    "nothing": (lambda _: "", NOT_A_JWT),
    "an ID token": (lambda p: p.id_token({"nonce": "n"}, "at-x"), WRONG_TYPE),
}


@each_row("lie", LIES)
def test_an_invalid_logout_token_is_refused(provider: FakeProvider, lie: str) -> None:
    # Back-Channel Logout 1.0, 2.6: each validation rule refuses a token.
    token, sentence = LIES[lie]
    with pytest.raises(CheckError) as caught:
        Provider(registered(provider)).checks.logout_token(token(provider))
    assert str(caught.value) == sentence
