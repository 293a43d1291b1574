"""`clients.kit` and a provider that is down, slow or changes its keys: what is waited for, remembered, asked anew."""

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from clients.kit import Provider
from clients.kit import provider as kit_provider
from clients.kit.checks import CheckError, ProviderDownError
from tests.clients.fake_provider import RSA, FakeProvider, running_provider
from tests.clients.kit_steps import catch_failed_check, complete_sign_in, registered
from tests.protocol.ent_server import Answer, authority, listening_ent
from tests.rows import each_row

PATHS = ("/.well-known/openid-configuration", "/jwks.json", "/token", "/userinfo", "/charter")
BROKEN = {
    "a redirect": (302, b""),
    "an error": (500, b"{}"),
    "nothing": (200, b""),
    "a page": (200, b"<html>"),
    "a list": (200, b"[]"),
    "a number": (200, b"7"),
    "brackets within brackets": (200, b"[" * 100_000),
    "no text": (200, b"\xff\xfe\x00"),
    "half an object": (200, b'{"access_token": "at-'),
}


@each_row(("path", "broken"), itertools.product(PATHS, BROKEN))
def test_a_response_that_is_no_json_is_a_provider_that_is_down(path: str, broken: str) -> None:
    with running_provider() as provider:
        provider.bodies[path] = BROKEN[broken]
        kit = Provider(registered(provider))
        with pytest.raises(ProviderDownError):
            kit.charter(complete_sign_in(kit).access_token)


@pytest.mark.parametrize(
    ("endpoint", "path"), [("token_endpoint", "token"), ("userinfo_endpoint", "userinfo"), ("jwks_uri", "jwks.json")]
)
def test_no_redirect_is_followed(provider: FakeProvider, endpoint: str, path: str) -> None:
    # The code, the secret and the tokens go where discovery says, and nowhere else.
    provider.metadata_lie = {endpoint: f"{provider.issuer}/moved/{path}"}
    with pytest.raises(ProviderDownError, match="307"):
        complete_sign_in(Provider(registered(provider)))
    assert f"/{path}" not in provider.calls


@pytest.mark.parametrize("lie", ["http://ailleurs.example/token", "https://a@b.example/", "/token", "", 7, None])
def test_an_address_that_cannot_be_talked_to_is_refused(provider: FakeProvider, lie: object) -> None:
    for endpoint in ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        provider.metadata_lie = {endpoint: lie}
        assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "metadata"
    provider.metadata_lie = {"end_session_endpoint": "javascript:alert(1)"}
    assert catch_failed_check(lambda: complete_sign_in(Provider(registered(provider)))) == "metadata"


def test_a_silent_provider_times_out(monkeypatch: pytest.MonkeyPatch, provider: FakeProvider) -> None:
    monkeypatch.setattr(kit_provider, "_TIMEOUT", 0.2)
    with listening_ent(None) as silent:
        silent.served["/.well-known/openid-configuration"] = lambda _handler: time.sleep(2)
        with pytest.raises(ProviderDownError, match="Timeout"):
            Provider(registered(provider, issuer=f"http://127.0.0.1:{silent.port}")).metadata()


def test_a_private_authority_is_trusted_where_it_is_named(provider: FakeProvider, tmp_path: Path) -> None:
    known, other = authority(tmp_path, "localhost"), authority(tmp_path, "ailleurs.test")
    with listening_ent(known.chain) as server:
        issuer = server.uri("localhost", "")
        names = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
        metadata = {"issuer": issuer, **dict.fromkeys(names, f"{issuer}/x")}
        server.served["/.well-known/openid-configuration"] = (200, {}, json.dumps(metadata).encode())
        assert Provider(registered(provider, issuer=issuer, ca_bundle=str(known.trusted))).metadata() == metadata
        for bundle in ("", str(other.trusted), "/nulle/part.pem"):
            with pytest.raises(ProviderDownError):
                Provider(registered(provider, issuer=issuer, ca_bundle=bundle)).metadata()


@pytest.mark.parametrize("issuer", ["http://ailleurs.example", "ftp://127.0.0.1", "https://a@b.example", "", "x"])
def test_an_issuer_that_is_no_web_address_is_refused(provider: FakeProvider, issuer: str) -> None:
    # OpenID Connect Core 1.0, 2: the issuer is "a case-sensitive URL using the https scheme".
    with pytest.raises(CheckError):
        Provider(registered(provider, issuer=issuer)).metadata()


def test_metadata_and_keys_are_cached_within_one_provider_only(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    complete_sign_in(kit)
    assert [provider.calls.count(path) for path in PATHS[:2]] == [1, 1]
    complete_sign_in(Provider(registered(provider)))
    assert [provider.calls.count(path) for path in PATHS[:2]] == [2, 2]
    moment += 3601
    provider.keys = []
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid", (
        "a key that was withdrawn is believed for an hour at most"
    )


def test_an_unknown_key_is_fetched_at_most_every_ten_seconds(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.header = {"kid": "inconnue"}
    for _ in range(5):
        assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"
    assert provider.calls.count("/jwks.json") == 2
    new = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig", "alg": "RS256"}, private=True)
    provider.header, provider.keys, provider.signing_key = {}, [new], new
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"
    moment += 11
    assert complete_sign_in(kit).claims["sub"] == provider.sub


def test_an_unknown_key_does_not_block_the_known_keys(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    # Anybody can post a logout token with any `kid`: if the keys cannot be requested again, cached keys stay valid.
    moment = 1000.0
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    kit = Provider(registered(provider))
    complete_sign_in(kit)
    provider.bodies["/jwks.json"] = (503, b"")
    provider.header = {"kid": "inconnue"}
    for _ in range(3):
        with pytest.raises(ProviderDownError):
            complete_sign_in(kit)
    assert provider.calls.count("/jwks.json") == 2, "asked once more, and not again for a moment"
    provider.header = {}
    assert complete_sign_in(kit).claims["sub"] == provider.sub
    assert provider.calls.count("/jwks.json") == 2
    moment += 6
    provider.header = {"kid": "inconnue"}
    provider.bodies.clear()
    assert catch_failed_check(lambda: complete_sign_in(kit)) == "kid"


def test_concurrent_callers_share_one_timeout_of_a_silent_provider(
    provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, over = 1000.0, Event()
    monkeypatch.setattr(kit_provider, "monotonic", lambda: moment)
    monkeypatch.setattr(kit_provider, "_TIMEOUT", 0.3)

    def late(_handler: object) -> Answer:
        over.wait(20)
        return 200, {}, b""

    with listening_ent(None) as silent:
        silent.served["/.well-known/openid-configuration"] = late
        kit = Provider(registered(provider, issuer=f"http://127.0.0.1:{silent.port}"))

        def leave(_: int) -> str:
            with pytest.raises(ProviderDownError, match="Timeout") as caught:
                kit.start_sign_in()
            return caught.value.check

        def was_asked(times: int) -> bool:
            """Wait for the questions to arrive there, which may be later than they are given up here."""
            until = time.monotonic() + 20
            while len(silent.asked) < times and time.monotonic() < until:
                time.sleep(0.05)
            return len(silent.asked) == times

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(leave, range(8))) == ["discovery"] * 8
        assert was_asked(1)
        moment += 6
        leave(0)
        assert was_asked(2), "after a moment it is asked again"
        over.set()


def test_fetching_an_unknown_key_does_not_block_other_threads(provider: FakeProvider) -> None:
    keys = json.dumps({"keys": [RSA.as_dict(private=False)]}).encode()
    requested, over = Event(), Event()

    def late(_handler: object) -> Answer:
        requested.set()
        over.wait(20)
        return 200, {}, keys

    stranger = jwt.encode({"alg": "RS256", "kid": "inconnue", "typ": "logout+jwt"}, {}, RSA)
    with listening_ent(None) as elsewhere, ThreadPoolExecutor(1) as pool:
        elsewhere.served["/keys"] = (200, {}, keys)
        provider.metadata_lie = {"jwks_uri": f"http://127.0.0.1:{elsewhere.port}/keys"}
        kit = Provider(registered(provider))
        complete_sign_in(kit)
        elsewhere.served["/keys"] = late
        asking = pool.submit(kit.checks.logout_token, stranger)
        try:
            assert requested.wait(20)
            assert complete_sign_in(kit).claims["sub"] == provider.sub
            assert not asking.done(), "the keys are asked for all the while"
        finally:
            over.set()
        with pytest.raises(CheckError, match="does not publish"):
            asking.result()
