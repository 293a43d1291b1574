"""`clients.kit` and tokens without `kid`: accepted if exactly one published key fits."""

import json
from typing import Any

import pytest

from clients.kit import Provider
from clients.kit import provider as kit_provider
from tests.clients.fake_provider import EC, KEYS, OTHER_RSA, RSA, FakeProvider
from tests.clients.kit_steps import catch_failed_check, complete_sign_in, registered


@pytest.mark.parametrize(
    ("published", "outcome"),
    [
        ([RSA], "believed"),
        ([RSA, EC, KEYS["PS256"]], "believed"),
        ([RSA, {**OTHER_RSA.as_dict(private=False), "use": "enc"}], "believed"),
        ([RSA, {**OTHER_RSA.as_dict(private=False), "kid": "rsa-2"}], "kid"),
        ([RSA, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}], "kid"),
        ([{**RSA.as_dict(private=False), "kid": None}], "believed"),
        ([{**RSA.as_dict(private=False), "kid": None, "alg": None, "use": None}], "believed"),
        ([EC, KEYS["PS256"]], "kid"),
        ([], "kid"),
        ([OTHER_RSA], "signature"),
    ],
)
def test_a_token_without_kid_is_accepted_when_one_key_fits(
    provider: FakeProvider, published: list[Any], outcome: str
) -> None:
    """OpenID Connect Core 1.0, 10.1: "If there are multiple keys in the referenced JWK Set document, a kid value MUST
    be provided in the JOSE Header".
    """
    jwks = [key if isinstance(key, dict) else key.as_dict(private=False) for key in published]
    jwks = [{name: value for name, value in key.items() if value is not None} for key in jwks]
    provider.bodies["/jwks.json"] = (200, json.dumps({"keys": jwks}).encode())
    provider.header = {"kid": None}
    kit = Provider(registered(provider))
    if outcome == "believed":
        assert complete_sign_in(kit).claims["sub"] == provider.sub
    else:
        assert catch_failed_check(lambda: complete_sign_in(kit)) == outcome


def test_a_token_without_kid_finds_the_key_that_took_the_place_of_another(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenID Connect Core 1.0, 10.1.1: the provider rotates keys; without `kid` the kit requests them again."""
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    provider.header = {"kid": None}
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.keys, provider.signing_key = [OTHER_RSA], OTHER_RSA
    moment += 11
    assert complete_sign_in(kit).claims["sub"] == provider.sub
