"""ID tokens of the académie's provider: each must prove two factors of a linked person, or it is refused."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from idp.desk.staff.models import StaffAccount
from tests.desk.academy import provider as academy
from tests.desk.academy.provider import (
    ACR,
    CLIENT_ID,
    OTHER_KEY,
    Claims,
    Provider,
    jwk,
    signed,
    unsigned,
)
from tests.desk.academy.steps import is_in, refused, sign_in


@pytest.mark.row("K-26")
@pytest.mark.parametrize("acr", ["", "eidas1", ACR + " ", ACR.upper(), None, [ACR], {"value": ACR}, 2, True])
def test_another_acr_is_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount, acr: object) -> None:
    provider.acr = acr
    refused(sign_in(visitor, provider), "L’académie n’a pas vérifié deux moyens de connexion")
    assert not is_in(visitor)


@pytest.mark.row("K-26")
def test_a_missing_acr_is_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    provider.change = lambda claims: claims.pop("acr")
    refused(sign_in(visitor, provider), "L’académie n’a pas vérifié deux moyens de connexion")


def setting(name: str, value: Any) -> Callable[[Claims], None]:
    """Return a change of one claim."""
    return lambda claims: claims.__setitem__(name, value)


CLAIMS: dict[str, Callable[[Claims], Any]] = {
    "another nonce": setting("nonce", "x" * 43),
    "no nonce": lambda claims: claims.pop("nonce"),
    "another audience": setting("aud", "autre"),
    "no audience": setting("aud", []),
    "an audience of another type": setting("aud", {"a": 1}),
    "two audiences without azp": setting("aud", [CLIENT_ID, "autre"]),
    "another azp": setting("azp", "autre"),
    "expired": lambda claims: claims.update(exp=int(time.time()) - 31),
    "no end": lambda claims: claims.pop("exp"),
    "an end that is a text": setting("exp", "demain"),
    "an end that is true": setting("exp", True),
    "issued tomorrow": lambda claims: claims.update(iat=int(time.time()) + 86400),
    "no iat": lambda claims: claims.pop("iat"),
    "another issuer": setting("iss", "https://autre.test"),
    "the issuer with a slash": lambda claims: claims.update(iss=claims["iss"] + "/"),
    "no issuer": lambda claims: claims.pop("iss"),
    "no subject": lambda claims: claims.pop("sub"),
    "an empty subject": setting("sub", ""),
    "a long subject": setting("sub", "x" * 256),
    "a subject with NUL": setting("sub", "agent\x00"),
    "a subject that is a number": setting("sub", 42),
}


@pytest.mark.row("K-26")
@pytest.mark.parametrize("change", CLAIMS)
def test_wrong_claims_are_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount, change: str) -> None:
    provider.change = CLAIMS[change]
    refused(sign_in(visitor, provider), "La réponse du service de l’académie n’est pas valable.")
    assert not is_in(visitor)


def test_further_audiences_with_azp_are_accepted(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    provider.change = lambda claims: claims.update(aud=["autre", CLIENT_ID], azp=CLIENT_ID)
    sign_in(visitor, provider)
    assert is_in(visitor)


SIGNATURES: dict[str, Callable[[Claims], str]] = {
    "none": unsigned,
    "of another key": lambda claims: signed(claims, OTHER_KEY),
    "an unknown kid": lambda claims: signed(claims, kid="cle-2"),
    "a kid that is a list": lambda claims: signed(claims, kid=["cle-1"]),
    "a key of its own": lambda claims: signed(claims, OTHER_KEY, jwk=jwk(OTHER_KEY)),
    "HS256 by its header": lambda claims: signed(claims, alg="HS256"),
    "a critical extension": lambda claims: signed(claims, crit=["exp"]),
    "changed": lambda claims: signed(claims)[:-6] + "AAAAAA",
    "not a JWT": lambda _claims: "a.b",
    "empty": lambda _claims: "",
    "long": lambda _claims: "a" * 20_000,
}


@pytest.mark.row("K-26")
@pytest.mark.parametrize("kind", SIGNATURES)
def test_wrong_signatures_are_refused(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount, kind: str
) -> None:
    provider.sign = SIGNATURES[kind]
    refused(sign_in(visitor, provider), "La réponse du service de l’académie n’est pas valable.")
    assert not is_in(visitor)


def test_a_token_without_kid_is_verified_by_any_key(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    provider.keys = {"keys": [{"kty": "EC"}, "x", {**jwk(OTHER_KEY), "use": "enc"}, jwk(OTHER_KEY), jwk()]}
    provider.sign = lambda claims: re.sub("^[^.]+", academy.b64(b'{"alg":"RS256"}'), signed(claims))
    refused(sign_in(visitor, provider), "n’est pas valable")  # the signature covers the header
    provider.sign = lambda claims: signed(claims, kid="cle-1")
    sign_in(visitor, provider)
    assert is_in(visitor)


@pytest.mark.parametrize(
    "keys", [{}, {"keys": None}, {"keys": {}}, {"keys": [None, 1, {}]}, {"keys": [{"kid": "cle-1"}]}]
)
def test_odd_keys_are_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount, keys: object) -> None:
    provider.keys = keys
    refused(sign_in(visitor, provider), "n’est pas valable")
