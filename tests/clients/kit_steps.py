"""Steps of an ENT that uses the kit."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from clients.kit import Provider, Registration
from clients.kit.checks import CheckError, ProviderDownError, ProviderRefusedError, SignedIn
from tests.clients.fake_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider

CALLBACK = "https://passerelle.exemple.fr/callback"
OFFLINE = "openid ent offline_access"


def registered(provider: FakeProvider, **changes: Any) -> Registration:
    agreed = {"issuer": provider.issuer, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return Registration(**{**agreed, "redirect_uri": CALLBACK, **changes})


def query_of(url: str) -> str:
    location = requests.get(url, allow_redirects=False, timeout=60).headers["Location"]
    assert location.startswith(f"{CALLBACK}?")
    return urlsplit(location).query


def complete_sign_in(kit: Provider, **parameters: str) -> SignedIn:
    url, attempt = kit.start_sign_in("/devoirs", **parameters)
    answer = kit.parse_answer(query_of(url))
    assert answer["state"] == attempt.state
    return kit.finish_sign_in(answer, attempt)


def catch_failed_check(sign_in: Callable[[], object]) -> str:
    """Return the name of the failed check. The error must not contain a secret."""
    with pytest.raises(CheckError) as caught:
        sign_in()
    assert not isinstance(caught.value, ProviderDownError | ProviderRefusedError), caught.value
    assert "eyJ" not in str(caught.value)
    assert "at-" not in str(caught.value)
    return caught.value.check
