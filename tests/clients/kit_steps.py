"""What an ENT does with the kit: it registers, leaves for the provider, comes back, and is told why not."""

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
    """Go where the kit sends the browser; return the query of the answer."""
    answer = requests.get(url, allow_redirects=False, timeout=60)
    location = answer.headers["Location"]
    assert location.startswith(f"{CALLBACK}?")
    return urlsplit(location).query


def signed_in(kit: Provider, **parameters: str) -> SignedIn:
    url, attempt = kit.departure("/devoirs", **parameters)
    answer = kit.answer(query_of(url))
    assert answer["state"] == attempt.state
    return kit.arrival(answer, attempt)


def refused(sign_in: Callable[[], object]) -> str:
    """Return the check that stops it, which names no secret."""
    with pytest.raises(CheckError) as caught:
        sign_in()
    assert not isinstance(caught.value, ProviderDownError | ProviderRefusedError), caught.value
    assert "eyJ" not in str(caught.value)
    assert "at-" not in str(caught.value)
    return caught.value.check
