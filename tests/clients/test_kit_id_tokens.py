"""`clients.kit` refuses each false ID token, token response and description of the provider by its own check."""

import time
from collections.abc import Callable

import pytest
from joserfc import jwt

from clients.kit import Provider
from clients.kit.checks import ProviderDownError
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
from tests.clients.kit_steps import catch_failed_check, complete_sign_in, registered
from tests.rows import each_row


def _failed_check(provider: FakeProvider) -> str:
    return catch_failed_check(lambda: complete_sign_in(Provider(registered(provider))))


LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "another issuer": (change(iss="https://ailleurs.example"), "iss"),
    "the issuer with a slash": (lambda c: c | {"iss": c["iss"] + "/"}, "iss"),
    "no issuer": (change(iss=None), "iss"),
    "another audience": (change(aud="autre-ent"), "aud"),
    "our audience among others": (change(aud=[CLIENT_ID, "autre-ent"]), "aud"),
    "no audience": (change(aud=None), "aud"),
    "an empty audience": (change(aud=[]), "aud"),
    "another authorized party": (change(azp="autre-ent"), "azp"),
    "expired": (change(exp=int(time.time()) - 3600), "exp"),
    "no expiry": (change(exp=None), "exp"),
    "an expiry in words": (change(exp="demain"), "exp"),
    "an expiry that is a boolean": (change(exp=True), "exp"),
    "issued an hour ago": (change(iat=int(time.time()) - 3600), "iat"),
    "issued tomorrow": (change(iat=int(time.time()) + 86400), "iat"),
    "not a number": (change(iat=float("nan")), "iat"),
    "no issue date": (change(iat=None), "iat"),
    "not valid yet": (change(nbf=int(time.time()) + 3600), "nbf"),
    "another nonce": (change(nonce="autre"), "nonce"),
    "no nonce": (change(nonce=None), "nonce"),
    "a nonce that is a list": (change(nonce=["x"]), "nonce"),
    "nobody": (change(sub=None), "sub"),
    "an empty person": (change(sub=""), "sub"),
    "a person too long": (change(sub="x" * 256), "sub"),
    "another access token": (change(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash"),
}


@each_row("lie", LIES)
def test_an_id_token_with_a_wrong_claim_is_refused(provider: FakeProvider, lie: str) -> None:
    provider.claims_lie, check = LIES[lie]
    assert _failed_check(provider) == check
    assert "/userinfo" not in provider.calls, "no access token is used before the ID token is believed"


def _with_another_payload(claims: Claims) -> str:
    header, _, signature = jwt.encode({"alg": "RS256", "kid": RSA.kid}, claims, RSA).split(".")
    return f"{header}.{unsigned(claims | {'sub': 'autre'}).split('.')[1]}.{signature}"


SIGNATURES: dict[str, tuple[dict[str, object], str]] = {
    "a key of the same name that is not published": ({"signing_key": OTHER_RSA}, "signature"),
    "no signature": ({"sign": unsigned}, "alg"),
    "our public key as a shared secret": ({"sign": signed_with_public_key}, "alg"),
    "a signature cut off": ({"sign": lambda _claims: "a.b"}, "id_token"),
    "five parts": ({"sign": lambda _claims: "a.b.c.d.e"}, "id_token"),
    "a key that is published nowhere": ({"header": {"kid": "inconnue"}}, "kid"),
    "a key of another kind": ({"header": {"kid": "ec-1"}}, "key"),
    "another signature than the one registered": ({"signing_key": EC, "algorithm": "ES256"}, "alg"),
    "no key's name": ({"header": {"kid": ""}}, "kid"),
    "a payload of another token": ({"sign": _with_another_payload}, "signature"),
}


@pytest.mark.parametrize("forgery", SIGNATURES)
def test_an_invalid_signature_is_refused(provider: FakeProvider, forgery: str) -> None:
    changes, check = SIGNATURES[forgery]
    for name, value in changes.items():
        setattr(provider, name, value)
    assert _failed_check(provider) == check


@each_row("sub", ["quelqu-un-d-autre", None])
def test_userinfo_about_somebody_else_is_refused(provider: FakeProvider, sub: str | None) -> None:
    provider.userinfo_lie = change(sub=sub)
    assert _failed_check(provider) == "userinfo_sub"


@each_row("lie", [{"id_token": None}, {"id_token": 5}])
def test_a_token_response_without_id_token_is_refused(provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    assert _failed_check(provider) == "id_token"


@each_row("lie", [{"access_token": None}, {"token_type": "DPoP"}, {"access_token": "é"}])
def test_a_token_response_without_a_bearer_token_is_refused(provider: FakeProvider, lie: Claims) -> None:
    provider.token_lie = lie
    with pytest.raises(ProviderDownError):
        complete_sign_in(Provider(registered(provider)))


def test_a_description_of_another_provider_is_refused_and_not_remembered(provider: FakeProvider) -> None:
    kit = Provider(registered(provider))
    provider.metadata_lie = {"issuer": "https://ailleurs.example"}
    assert catch_failed_check(kit.start_sign_in) == "metadata_issuer"
    provider.metadata_lie = {}
    assert complete_sign_in(kit).claims["sub"] == provider.sub
