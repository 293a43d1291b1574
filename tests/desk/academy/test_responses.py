"""Responses and failures of the académie's provider: none works twice, none is a fault of the desk."""

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.clock import now
from idp.desk.staff.models import StaffAccount
from idp.http_client import outgoing
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
from tests.desk.academy.steps import begin, refused, sign_in
from tests.desk.colleagues import is_in, post


@pytest.mark.row("K-20")
def test_a_response_works_once(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    answer = academy.path(provider.authorize(begin(visitor)))
    assert visitor.get(answer).status_code == 200
    post(visitor, "/deconnexion", "/etablissements")
    refused(visitor.get(answer), "Cette connexion a déjà servi")
    assert provider.tokens == 1


@pytest.mark.row("K-26")
def test_a_code_that_was_used_opens_no_second_session(
    desk: Flask, visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    used = provider.authorize(begin(visitor))
    assert visitor.get(academy.path(used)).status_code == 200
    thief = desk.test_client()
    answer = provider.authorize(begin(thief))
    refused(thief.get(academy.path({**answer, "code": used["code"]})), "L’académie n’a pas")
    assert not is_in(thief)


def test_a_response_of_another_browser_is_refused(
    desk: Flask, visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    answer = academy.path(provider.authorize(begin(visitor)))
    other = desk.test_client()
    refused(other.get(answer), "Cette connexion a déjà servi")
    assert not is_in(other)
    assert visitor.get(answer).status_code == 200


def test_a_late_response_is_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        answer = academy.path(provider.authorize(begin(visitor)))
        clock.shift(timedelta(minutes=10))
        refused(visitor.get(answer), "Cette connexion a déjà servi, a trop attendu")


@pytest.mark.parametrize(
    "query",
    ["", "state=x", "code=x", "state=%00", "state=é&code=x", "state=%ff%fe", f"state={'A' * 5000}&code=x", "error=x"],
)
def test_an_odd_response_is_refused(visitor: FlaskClient, query: str) -> None:
    refused(visitor.get(f"/connexion/academie/retour?{query}"), "Cette connexion a déjà servi")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": ""}, "L’académie n’a pas confirmé votre connexion."),
        ({"code": "x" * 3000}, "L’académie n’a pas confirmé votre connexion."),
        ({"error": "access_denied"}, "L’académie n’a pas confirmé votre connexion."),
        ({"iss": "https://autre.test"}, "n’est pas valable"),
        ({"iss": ""}, "n’est pas valable"),
        ({"code": "un-autre-code"}, "ne répond pas"),
    ],
)
def test_an_error_of_the_provider_is_shown(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount, changes: dict[str, str], words: str
) -> None:
    answer = {**provider.authorize(begin(visitor)), **changes}
    refused(visitor.get(academy.path(answer)), words)
    assert not is_in(visitor)


def test_a_parameter_given_twice_is_refused(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    answer = academy.path(provider.authorize(begin(visitor)))
    refused(visitor.get(f"{answer}&code=x"), "L’académie n’a pas confirmé")


def test_a_head_request_uses_nothing(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    answer = academy.path(provider.authorize(begin(visitor)))
    assert visitor.head(answer).status_code == 200
    assert visitor.get(answer).status_code == 200


def slow() -> academy.Answer:
    time.sleep(0.6)
    return 200, b"{}"


BROKEN: dict[str, Callable[[], academy.Answer]] = {
    "an error": lambda: (500, b"{}"),
    "a refusal": lambda: (401, b'{"error": "invalid_client"}'),
    "a redirect": lambda: (302, b""),
    "HTML": lambda: (200, b"<html>"),
    "a list": lambda: (200, b"[]"),
    "no UTF-8": lambda: (200, b"\xff\xfe"),
    "deep": lambda: (200, b'{"a":' * 5000),
    "empty": lambda: (200, b""),
    "large": lambda: (200, b'{"a": "' + b"x" * 100_000 + b'"}'),
    "slow": slow,
}


@pytest.mark.parametrize("path", ["/token", "/jwks"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_provider_is_reported(
    visitor: FlaskClient,
    provider: Provider,
    linked: StaffAccount,
    kind: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = academy.path(provider.authorize(begin(visitor)))
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.5 if kind == "slow" else outgoing.TIMEOUT)
    provider.answers[path] = BROKEN[kind]
    refused(visitor.get(answer), "Le service de connexion de l’académie ne répond pas.")
    assert not is_in(visitor)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_provider_without_metadata_is_reported(
    visitor: FlaskClient, provider: Provider, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.5 if kind == "slow" else outgoing.TIMEOUT)
    provider.answers["/.well-known/openid-configuration"] = BROKEN[kind]
    refused(post(visitor, "/connexion/academie", "/connexion"), "ne répond pas")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("issuer", "https://autre.test"),
        ("issuer", None),
        ("authorization_endpoint", "javascript:alert(1)"),
        ("authorization_endpoint", "http://autre.test/authorize"),
        ("authorization_endpoint", 'https://autre.test/"onclick="x" y'),
        ("authorization_endpoint", "https://[autre"),
        ("token_endpoint", "file:///etc/passwd"),
        ("token_endpoint", None),
        ("jwks_uri", 5),
    ],
)
def test_odd_metadata_are_refused(visitor: FlaskClient, provider: Provider, name: str, value: object) -> None:
    provider.metadata[name] = value
    refused(post(visitor, "/connexion/academie", "/connexion"), "ne répond pas")


def test_an_internal_token_endpoint_is_not_requested(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    provider.metadata["token_endpoint"] = "https://169.254.169.254/token"
    refused(sign_in(visitor, provider), "ne répond pas")


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
